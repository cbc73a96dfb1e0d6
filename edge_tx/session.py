"""A transmitter from its configuration to its summary: source, models, sockets and log, opened and closed."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from edge_tx.adaptation import Adaptation
from edge_tx.model import GraphModel, IndexModel, load_index_model, load_transmitter_model
from edge_tx.pipeline import Plan, Transmitter, check_pilots
from edge_tx.sources import (
    SkippedImages,
    SourceImage,
    folder_images,
    is_live_video,
    listed_images,
    video_images,
    watched_images,
)
from edge_tx.stream import Pacer, SentLog, stream_images
from edge_tx.summary import TransmitterSummary
from engines.build_progress import build_progress
from engines.models.codecs import NestedCodec
from engines.models.entry_codebook import EntryCodebook
from engines.models.model_set import ModelSet
from engines.options import DEFAULT_OPTIONS, EngineOptions
from semlink.cli.output import notify
from semlink.constellation import Constellation
from semlink.errors import ConfigError, SemlinkError, TransportError
from semlink.interrupt import Interruption, interruptions
from semlink.iq import CodesFormat
from semlink.rates import Rate, parse_rate
from semlink.transport import FrameSender, ReportSubscriber, SocketLimits

__all__ = ["SourceConfig", "TransmitterConfig", "TransmitterRun", "run_transmitter"]

_CONSERVATIVE_RATE = parse_rate("256")
"""Initial rate of `--rate auto`, before a report: enough at -7 dB."""

_FIRST_REPORT_TIMEOUT_S = 2.0
"""Longest wait of the first image for a report; a receiver sends two a second."""

_CLOSING_TIMEOUT_S = 0.2
"""Time that an interrupted transmitter has for its last messages."""


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
    takes_best_precision : choose the precision in place of the engine's, from what was built and verified here
    """

    source: SourceConfig
    connect: str = "tcp://127.0.0.1:5555"
    rate: Rate | None
    codec: str | None = None
    entries: Path | None = None
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
        if self.codec is not None and self.entries is not None and self.feedback is None:
            raise ConfigError(
                "--codec beside --entries is what to fall back to when the receiver reports another knowledge base:"
                " name --feedback"
            )


@dataclass(frozen=True)
class TransmitterRun:
    """How a transmitter ended: its summary, and the error that ended it, if any."""

    summary: TransmitterSummary
    failure: SemlinkError | None


@dataclass(frozen=True)
class _Models:
    """The models of a transmitter: the codec for any receiver, `index`, or both.

    Attributes
    ----------
    precision : of the image encoder, with the reason if it was chosen here
    """

    general: GraphModel | None
    index: IndexModel | None
    rate: Rate
    precision: str

    @property
    def initial(self) -> GraphModel | IndexModel:
        model = self.general or self.index
        assert model is not None  # noqa: S101  one of the two is always loaded
        return model

    def adaptation(self, config: TransmitterConfig) -> Adaptation | None:
        if self.general is None or config.feedback is None:
            return None
        return Adaptation(self.general, self.index, self.rate, adapts_rate=config.rate is None)


def run_transmitter(config: TransmitterConfig, console: Console) -> TransmitterRun:
    """Send the source's images until it ends, the limit is reached, or Ctrl-C or SIGTERM ends the stream.

    Raises
    ------
    SemlinkError
        If something fails before the first image; a later failure is returned with the summary.
    """
    skipped, models = SkippedImages(), _load_models(config, console)
    with interruptions() as interruption, contextlib.ExitStack() as stack:
        images = config.source.open(
            skipped, min_side_px=models.initial.preprocessing.size_px, interruption=interruption
        )
        log = stack.enter_context(SentLog(config.log))
        limits = SocketLimits(peer_timeout_s=config.peer_timeout_s)
        sender = stack.enter_context(FrameSender(config.connect, limits=limits, interruption=interruption))
        reports = stack.enter_context(ReportSubscriber(config.feedback)) if config.feedback else None
        pacer = Pacer(config.fps, interruption)
        if reports is not None:
            reports.wait(_FIRST_REPORT_TIMEOUT_S)
        transmitter = Transmitter(
            models.initial,
            models.rate,
            sender.send,
            num_pilots=config.num_pilots,
            constellation=config.constellation,
        )
        adaptation = models.adaptation(config)
        notify(console, _announcement(config, models))
        start_s, failure = time.monotonic(), None
        try:
            limited = itertools.islice(images, config.limit)
            stream_images(transmitter, limited, pacer, log, plan=_planner(adaptation, reports, transmitter))
            if not interruption.is_set():
                transmitter.end()
        except SemlinkError as error:
            failure = error
        except KeyboardInterrupt:
            pass
        duration_s = time.monotonic() - start_s
        if failure is not None or interruption.is_set():
            sender.hurry(_CLOSING_TIMEOUT_S)
            with contextlib.suppress(TransportError):
                transmitter.end()
        if adaptation is not None and not adaptation.has_report:
            notify(console, f"no report arrived from {config.feedback}: is an rx with --feedback there?")
    is_interrupted = interruption.is_set()
    summary = TransmitterSummary.of(transmitter, skipped, interrupted=is_interrupted, duration_s=duration_s)
    return TransmitterRun(summary, failure)


def _load_models(config: TransmitterConfig, console: Console) -> _Models:
    models = ModelSet.find(config.model_set)
    codec = None if config.entries is not None and config.feedback is None else models.codec(config.codec)
    if config.rate is None and not isinstance(codec, NestedCodec):
        name = codec.name if codec else "none"
        raise ConfigError(f"--rate auto needs one code for all rates, such as nested; got {name}")
    rate = config.rate or _CONSERVATIVE_RATE
    general, index = None, None
    engine, precision = _engine_options(config, models)
    with build_progress(console) as on_progress:
        if config.entries is not None:
            entries = EntryCodebook.load(config.entries)
            index = load_index_model(models, entries, engine, codes_format=config.codes_format, on_progress=on_progress)
            check_pilots(config.num_pilots, index)  # at the start, not when the first report selects `index`
        if codec is not None:
            general = load_transmitter_model(
                models, rate, engine, codec=codec.name, codes_format=config.codes_format, on_progress=on_progress
            )
    return _Models(general, index, rate, precision)


def _engine_options(config: TransmitterConfig, models: ModelSet) -> tuple[EngineOptions, str]:
    """The options of the engine, and its precision with the reason where it was chosen here."""
    if not config.takes_best_precision:
        return config.engine, config.engine.precision.value
    # onnx takes longer to import than all other modules here together, and loading needs it too.
    from engines.factory import EngineFactory

    precision, reason = EngineFactory(models, config.engine, codes_format=config.codes_format).best_precision()
    return replace(config.engine, precision=precision), f"{precision.value} ({reason})"


def _announcement(config: TransmitterConfig, models: _Models) -> str:
    both = models.general is not None and models.index is not None
    later = f", and with {models.index.codec} once the receiver has reported" if both and models.index else ""
    return (
        f"sending {models.rate.num_symbols} symbols an image with {models.initial.codec}{later} to {config.connect};"
        f" image encoder in {models.precision}"
    )


def _planner(
    adaptation: Adaptation | None, reports: ReportSubscriber | None, transmitter: Transmitter
) -> Callable[[], Plan] | None:
    if adaptation is None or reports is None:
        return None
    expects_fades = transmitter.num_pilots > 0
    return lambda: adaptation.plan(reports, stream_id=transmitter.stream_id, expects_fades=expects_fades)
