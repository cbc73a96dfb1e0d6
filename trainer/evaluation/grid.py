"""Evaluate codecs over a grid: train what is missing, then measure every cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import numpy as np
import torch
from rich.progress import Progress, TaskID

from engines.codebook import Codebook
from engines.codecs import PerRateCodec
from engines.key_model import KeyModel
from engines.modelset import ModelSet
from semlink.channel import MAX_SNR_DB, PAPER_CHANNELS, ChannelModel, default_num_pilots
from semlink.errors import ConfigError
from semlink.rates import Rate
from trainer.codecs.learning import TrainingFeatures
from trainer.codecs.training import CodecTraining, TrainedCodec, train_codec
from trainer.evaluation.link import AirInterface, CodecGraphs, ReceiverKnowledge
from trainer.evaluation.metrics import CleanRetrieval, RetrievalScores
from trainer.evaluation.signal_link import SignalLink
from trainer.evaluation.workers import train_in_processes

__all__ = [
    "Grid",
    "Link",
    "Record",
    "evaluate_index",
    "evaluate_link",
    "evaluate_model_set",
    "evaluate_nested",
    "evaluate_trained",
    "train_all",
    "trainings_of",
]


@dataclass(frozen=True)
class Grid:
    """What to evaluate: the product of all of these."""

    codecs: tuple[str, ...]
    rates: tuple[Rate, ...]
    channels: tuple[ChannelModel, ...]
    snr_db: tuple[float, ...]
    seeds: tuple[int, ...]
    num_pilots: int = default_num_pilots(ChannelModel.RAYLEIGH)

    def __post_init__(self) -> None:
        """Refuse before anything is trained what would fail after it."""
        if any(abs(snr_db) > MAX_SNR_DB for snr_db in self.snr_db):
            raise ConfigError(f"SNRs must be from {-MAX_SNR_DB:g} to {MAX_SNR_DB:g} dB, got {self.snr_db}")
        if (
            ChannelModel.RAYLEIGH in self.channels
            and self.num_pilots < 2
            and {*self.codecs} - {"kbsc", "kbsc-reference"}
        ):
            raise ConfigError(
                "one pilot cannot tell gain and noise apart, which all codecs but kbsc need; send 2 or more"
            )
        for channel in self.channels:
            if "kbsc-reference" in self.codecs and channel not in PAPER_CHANNELS:
                known = ", ".join(channel.value for channel in PAPER_CHANNELS)
                raise ConfigError(f'kbsc-reference is published for {known} only, not for "{channel.value}"')

    def air(self, codec: str, channel: ChannelModel, snr_db: float) -> AirInterface:
        """What the receiver of a codec may know on a channel."""
        if codec == "kbsc-reference":
            return AirInterface(channel, snr_db, ReceiverKnowledge.PUBLISHED)
        if channel is ChannelModel.RAYLEIGH:
            return AirInterface(channel, snr_db, ReceiverKnowledge.PILOTS, self.num_pilots)
        if channel is ChannelModel.RAYLEIGH_FAST:
            return AirInterface(channel, snr_db, ReceiverKnowledge.GENIE)
        return AirInterface(channel, snr_db, ReceiverKnowledge.NOTHING)


class Record(msgspec.Struct, frozen=True):
    """One cell at one seed, as the JSON's `records` list holds it."""

    codec: str
    num_symbols: int
    snr_db: float
    channel: str
    seed: int
    semantic_accuracy: float
    recall_at_1: float
    recall_at_10: float
    mean_cosine: float | None
    match_cosine: float | None
    trained_on: str
    knowledge: str
    num_pilots: int


_TRAINED_ON: dict[ChannelModel, Literal["awgn", "rayleigh"]] = {
    ChannelModel.IDEAL: "awgn",
    ChannelModel.AWGN: "awgn",
    ChannelModel.RAYLEIGH: "rayleigh",
    # Gains that change with every symbol cannot be learnt from pilots, so no codec is trained on them.
    ChannelModel.RAYLEIGH_FAST: "awgn",
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
        for channel in dict.fromkeys(_TRAINED_ON[channel] for channel in grid.channels)
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


class Link(Protocol):
    """A codec at one rate, from clean features to what the receiver retrieves."""

    @property
    def name(self) -> str:
        """The codec's."""
        ...

    @property
    def rate(self) -> Rate:
        """Symbols of an image."""
        ...

    def retrieve(self, clean: CleanRetrieval, air: AirInterface, rng: np.random.Generator) -> RetrievalScores:
        """Send every image over the air, retrieve, and score."""
        ...


def evaluate_link(
    link: Link, grid: Grid, channel: ChannelModel, clean: CleanRetrieval, *, seed: int, trained_on: str
) -> Iterator[Record]:
    """Measure one codec on one channel at every SNR of the grid."""
    for snr_db in grid.snr_db:
        air = grid.air(link.name, channel, snr_db)
        # By value, so that a cell's noise does not depend on which other cells were asked for.
        rng = np.random.default_rng([seed, link.rate.num_symbols, round(1000 * (snr_db + MAX_SNR_DB))])
        scores = link.retrieve(clean, air, rng)
        yield Record(
            codec=link.name,
            num_symbols=link.rate.num_symbols,
            snr_db=snr_db,
            channel=channel.value,
            seed=seed,
            semantic_accuracy=scores.semantic_accuracy,
            recall_at_1=scores.recall_at_1,
            recall_at_10=scores.recall_at_10,
            mean_cosine=scores.mean_cosine,
            match_cosine=scores.match_cosine,
            trained_on=trained_on,
            knowledge=air.knowledge.value,
            num_pilots=air.num_pilots,
        )


def evaluate_trained(
    trained: Sequence[TrainedCodec], grid: Grid, clean: CleanRetrieval, progress: Progress
) -> list[Record]:
    """Measure trained codecs, each on the channels that its training serves."""
    cells = [
        (codec, channel)
        for codec in trained
        for channel in grid.channels
        if _TRAINED_ON[channel] == codec.training.channel
    ]
    task = progress.add_task("evaluating", total=len(cells))
    records: list[Record] = []
    for codec, channel in cells:
        graphs = CodecGraphs.from_training(codec)
        source = f"{codec.source}, {codec.training.channel}"
        records += evaluate_link(graphs, grid, channel, clean, seed=codec.training.seed, trained_on=source)
        progress.advance(task)
    return records


def evaluate_nested(
    codebooks: Mapping[int, Codebook],
    grid: Grid,
    clean: CleanRetrieval,
    progress: Progress,
    *,
    keys: Mapping[int, KeyModel] | None = None,
    trained_on: str,
) -> list[Record]:
    """Measure `nested`, a codebook for each seed, on every channel; none of them is what it was fitted to.

    With `keys`, a key network for each seed, it is `nested-labels`.
    """
    cells = [(rate, seed) for rate in grid.rates for seed in codebooks]
    links = (SignalLink.nested(codebooks[seed], rate, clean, keys=keys[seed] if keys else None) for rate, seed in cells)
    name = "nested-labels" if keys else "nested"
    return _evaluate_links(name, cells, links, grid, clean, progress, trained_on=trained_on)


def evaluate_index(
    grid: Grid,
    clean: CleanRetrieval,
    progress: Progress,
    *,
    keys: Mapping[int, KeyModel] | None = None,
    trained_on: str = "nothing",
) -> list[Record]:
    """Measure `index`, which learns nothing; a seed draws codewords and noise. With `keys`, `index-labels`."""
    cells = [(rate, seed) for rate in grid.rates for seed in grid.seeds]
    links = (SignalLink.index(rate, clean, seed=seed, keys=keys[seed] if keys else None) for rate, seed in cells)
    name = "index-labels" if keys else "index"
    return _evaluate_links(name, cells, links, grid, clean, progress, trained_on=trained_on)


def _evaluate_links(
    name: str,
    cells: Sequence[tuple[Rate, int]],
    links: Iterable[Link],
    grid: Grid,
    clean: CleanRetrieval,
    progress: Progress,
    *,
    trained_on: str,
) -> list[Record]:
    """Measure links, one for each (rate, seed), made when their turn comes, on every channel."""
    task = progress.add_task(f"evaluating {name}", total=len(cells) * len(grid.channels))
    records: list[Record] = []
    for (_, seed), link in zip(cells, links, strict=True):
        for channel in grid.channels:
            records += evaluate_link(link, grid, channel, clean, seed=seed, trained_on=trained_on)
            progress.advance(task)
    return records


def evaluate_model_set(model_set: ModelSet, grid: Grid, clean: CleanRetrieval, progress: Progress) -> list[Record]:
    """Measure a model set's own codecs; the seeds are those of noise and gains alone."""
    records: list[Record] = []
    held = [codec.name for codec in model_set.codecs]
    for name in grid.codecs:
        if ("nested-labels" if name == "index-labels" else name) not in held:
            raise ConfigError(
                f'model set "{model_set.name}" holds {", ".join(held) or "no codec"}, not {name};'
                " use --weights trained to train it"
            )
        codec = model_set.codec("nested-labels" if name == "index-labels" else name)
        source = codec.entry.training_data
        if isinstance(codec, PerRateCodec):
            cells = [(rate, seed) for rate in grid.rates for seed in grid.seeds]
            graphs = (CodecGraphs.of(codec, rate) for rate, _ in cells)
            records += _evaluate_links(name, cells, graphs, grid, clean, progress, trained_on=source)
            continue
        model = codec.load_keys()
        keys = None if model is None else dict.fromkeys(grid.seeds, model)
        if name == "index-labels":
            records += evaluate_index(grid, clean, progress, keys=keys, trained_on=source)
        else:
            codebooks = dict.fromkeys(grid.seeds, codec.codebook)
            records += evaluate_nested(codebooks, grid, clean, progress, keys=keys, trained_on=source)
    return records
