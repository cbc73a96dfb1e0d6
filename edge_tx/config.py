"""What a transmitter is started with: where its images come from, and the options of `semlink tx`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_tx.sources import (
    SkippedImages,
    SourceImage,
    folder_images,
    is_live_video,
    listed_images,
    video_images,
    watched_images,
)
from engines.options import DEFAULT_OPTIONS, EngineOptions
from semlink.constellation import Constellation
from semlink.errors import ConfigError
from semlink.image import image_files
from semlink.interrupt import Interruption
from semlink.iq import CodesFormat
from semlink.rates import Rate

__all__ = ["SourceConfig", "TransmitterConfig"]


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where images come from: a folder, a list of paths, a watched folder, or a video."""

    path: Path | None = None
    watch: bool = False
    video: str | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.video is None):
            raise ConfigError("name one source: a folder, a list of paths, or --video")
        if self.watch and self.video is not None:
            raise ConfigError("--watch is for folders; a video is watched by itself")

    @property
    def is_endless(self) -> bool:
        """Whether only the user ends the stream, so that an interruption is its regular end."""
        return self.watch or (self.video is not None and is_live_video(self.video))

    def num_left_out(self) -> int:
        """Number of images that are in a watched folder already, which are not sent; 0 for another source."""
        if not self.watch or self.path is None:
            return 0
        try:
            return len(image_files(self.path))
        except ConfigError:  # the folder is empty, or is none, which `open` refuses
            return 0

    def open(self, skipped: SkippedImages, *, min_side_px: int, interruption: Interruption) -> Iterator[SourceImage]:
        """Images of the source; unreadable ones are counted in `skipped`."""
        if self.video is not None:
            return video_images(self.video)
        assert self.path is not None  # noqa: S101  one of the two is named
        if self.watch:
            return watched_images(self.path, skipped, min_side_px=min_side_px, stop=interruption)
        return (listed_images if self.path.is_file() else folder_images)(self.path, skipped, min_side_px=min_side_px)


@dataclass(frozen=True, kw_only=True)
class TransmitterConfig:
    """The options of `semlink tx`; see its help for each.

    Attributes
    ----------
    rate : initial rate; None follows the reported SNR
    limit : largest number of images; None sends all
    engine : backend, device and precision
    fetches_codebook : with reports, get the codebook of the receiver's knowledge base from it, unless `codec` is named
        without a codebook, which asks for that codec
    takes_best_precision : choose the precision in place of the engine's, from what was built and verified here
    """

    source: SourceConfig
    connect: str = "tcp://127.0.0.1:5555"
    rate: Rate | None
    codec: str | None = None
    entries: Path | None = None
    codebook: Path | None = None
    fetches_codebook: bool = True
    feedback: str | None = None
    model_set: str = "builtin"
    fps: float | None = None
    limit: int | None = None
    num_pilots: int = 0
    constellation: Constellation | None = None
    codes_format: CodesFormat = CodesFormat.SC8
    engine: EngineOptions = DEFAULT_OPTIONS
    takes_best_precision: bool = False
    peer_timeout_s: float = 30.0
    log: Path | None = None

    def __post_init__(self) -> None:
        if self.rate is None and self.feedback is None:
            raise ConfigError("--rate auto follows the receiver's reports; name their address with --feedback")
        if self.feedback is not None:
            return
        of_knowledge_base = {"--entries": self.entries, "--codebook": self.codebook}
        named = [option for option, path in of_knowledge_base.items() if path is not None]
        if self.codec is not None and named:
            raise ConfigError(
                f"--codec beside {named[0]} is what to fall back to when the receiver reports another knowledge base:"
                " name --feedback"
            )
        if len(named) == 2:
            raise ConfigError("--codebook beside --entries is a choice by the receiver's reports: name --feedback")
