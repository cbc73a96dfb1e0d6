"""What an evaluation is of, and the training that it needs first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import torch
from rich.progress import Progress, TaskID

from semlink.channel import MAX_SNR_DB, PAPER_CHANNELS, ChannelModel, default_num_pilots
from semlink.constellation import Constellation
from semlink.errors import ConfigError
from semlink.rates import Rate
from trainer.codecs.config import CodecTraining, TrainedCodec
from trainer.codecs.training import train_codec
from trainer.codecs.training_data import TrainingFeatures
from trainer.codecs.workers import train_in_processes
from trainer.links.graph_link import Csi, LinkConditions

__all__ = ["Grid", "train_all", "trainings_of"]


_HEEDLESS_OF_NOISE = frozenset({"kbsc", "kbsc-reference", "uncoded"})
"""Codecs whose receivers undo the gain's phase and look no further; all others weigh the noise."""


@dataclass(frozen=True)
class Grid:
    """What to evaluate: the product of all of these."""

    codecs: tuple[str, ...]
    rates: tuple[Rate, ...]
    channels: tuple[ChannelModel, ...]
    snr_db: tuple[float, ...]
    seeds: tuple[int, ...]
    num_pilots: int = default_num_pilots(ChannelModel.RAYLEIGH)
    csi: Csi = Csi.PILOTS
    """What the receiver is told of a block's gain; pilots, unless a bound is asked for."""
    trained_on: Literal["awgn", "rayleigh"] | None = None
    """The channel that `kbsc` and `kbsc-reference` are trained on; None for the one that suits the channel measured."""
    constellation: Constellation | None = None
    """What points a digital radio has; None sends any."""

    def __post_init__(self) -> None:
        """Refuse before anything is trained what would fail after it."""
        if any(abs(snr_db) > MAX_SNR_DB for snr_db in self.snr_db):
            raise ConfigError(f"SNRs must be from {-MAX_SNR_DB:g} to {MAX_SNR_DB:g} dB, got {self.snr_db}")
        if (
            any(channel.is_block_fading for channel in self.channels)
            and self.csi is Csi.PILOTS
            and self.num_pilots < 2
            and {*self.codecs} - _HEEDLESS_OF_NOISE
        ):
            heedless = ", ".join(sorted(_HEEDLESS_OF_NOISE))
            raise ConfigError(
                f"one pilot cannot tell gain and noise apart, which all codecs but {heedless} need; send 2 or more"
            )
        if "nested-feedback" in self.codecs and (self.csi is Csi.GENIE or ChannelModel.RAYLEIGH_FAST in self.channels):
            raise ConfigError("nested-feedback follows what a receiver estimates and reports; a genie does neither")
        for channel in self.channels:
            if "kbsc-reference" in self.codecs and channel not in PAPER_CHANNELS:
                known = ", ".join(channel.value for channel in PAPER_CHANNELS)
                raise ConfigError(f'kbsc-reference is published for {known} only, not for "{channel.value}"')

    def training_channel(self, channel: ChannelModel) -> Literal["awgn", "rayleigh"]:
        """Which channel a codec that is measured on this one was trained on."""
        return self.trained_on or _TRAINED_ON[channel]

    def conditions(self, codec: str, channel: ChannelModel, snr_db: float) -> LinkConditions:
        """What the receiver of a codec may know on a channel."""
        if codec == "kbsc-reference":
            return LinkConditions(channel, snr_db, Csi.PUBLISHED)
        csi, num_pilots = Csi.NOTHING, 0
        if channel is ChannelModel.RAYLEIGH_FAST:
            csi = Csi.GENIE
        elif channel.is_block_fading:
            csi = self.csi
            num_pilots = self.num_pilots if self.csi is Csi.PILOTS else 0
        return LinkConditions(channel, snr_db, csi, num_pilots, self.constellation)


_TRAINED_ON: dict[ChannelModel, Literal["awgn", "rayleigh"]] = {
    ChannelModel.IDEAL: "awgn",
    ChannelModel.AWGN: "awgn",
    ChannelModel.RAYLEIGH: "rayleigh",
    # Gains that change with every symbol cannot be learnt from pilots, so no codec is trained on them.
    ChannelModel.RAYLEIGH_FAST: "awgn",
    # Random phase and fades are the same kind of thing, with a line of sight only less of them.
    ChannelModel.RICIAN: "rayleigh",
    ChannelModel.BURST: "awgn",
}
"""Which training channel serves which channel."""


def trainings_of(grid: Grid, template: CodecTraining) -> list[CodecTraining]:
    """List the training runs that a grid needs; `template` gives everything that the grid does not.

    Only the `kbsc` family needs them: one fit of the others serves every rate and channel.
    """
    return [
        msgspec.structs.replace(
            template,
            codec=codec,
            num_symbols=rate.num_symbols,
            channel=channel,
            seed=seed,
            num_pilots=grid.num_pilots if codec == "kbsc" and channel == "rayleigh" else 0,
        )
        for channel in dict.fromkeys(grid.training_channel(channel) for channel in grid.channels)
        for codec in grid.codecs
        if codec in ("kbsc", "kbsc-reference")
        for rate in grid.rates
        for seed in grid.seeds
    ]


def train_all(
    trainings: Sequence[CodecTraining], data: TrainingFeatures, runs: Path, *, num_jobs: int, progress: Progress
) -> list[TrainedCodec]:
    """Train what is not trained yet, `num_jobs` runs at a time, each on one core.

    One core a run keeps a run's arithmetic, and so its result, the same however many run beside it.
    """
    if not trainings:
        return []
    epochs = sum(training.epochs for training in trainings)
    task = progress.add_task(f"training {len(trainings)} codecs", total=epochs)
    if num_jobs == 1 or len(trainings) == 1:
        return [_train_reported(training, data, runs, progress, task) for training in trainings]
    return train_in_processes(
        trainings, data, runs, num_jobs=num_jobs, advance=lambda num_epochs: progress.advance(task, num_epochs)
    )


def _train_reported(
    training: CodecTraining, data: TrainingFeatures, runs: Path, progress: Progress, task: TaskID
) -> TrainedCodec:
    torch.set_num_threads(1)
    trained = train_codec(training, data, runs, report=lambda *_: progress.advance(task))
    progress.advance(task, training.epochs - len(trained.validation_accuracy))
    return trained
