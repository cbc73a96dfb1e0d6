"""Points of curves from records, and the links that several studies measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.report.schemas import Point
from benchmarks.studies.context import SEEDS, StudyContext
from engines.models.codebook import Codebook
from semlink.rates import Rate
from trainer.codecs.nested_cells import fitted_nested_cells
from trainer.evaluation.record import Record
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.signal_link import SignalLink

__all__ = [
    "THREE_SNR_DB",
    "at",
    "by_snr",
    "by_symbols",
    "high_snr_codebooks",
    "nested_codebooks",
    "nested_link",
    "noiseless_points",
    "points",
]

THREE_SNR_DB = (-7.0, 0.0, 10.0)

Position = Callable[[Record], float | str]


def points(records: Iterable[Record], position: Position, curve: str | None = None) -> Iterator[Point]:
    """A point for each record; its curve is named after the codec if no name is given."""
    for record in records:
        yield Point(curve or record.codec, position(record), record.seed, record.semantic_accuracy)


def noiseless_points(noiseless: NoiselessRetrieval, positions: Sequence[float | str]) -> Iterator[Point]:
    """The accuracy without codec and channel, as a curve along the axis."""
    for position in positions:
        yield Point("noiseless: no codec, no channel", position, 0, noiseless.accuracy)


def by_snr(record: Record) -> float:
    """Position of a record on an axis of SNR [dB]."""
    return record.snr_db


def by_symbols(record: Record) -> float:
    """Position of a record on an axis of symbols per image."""
    return record.num_symbols


def at(position: str) -> Position:
    """One position for every record."""
    return lambda _: position


def nested_codebooks(context: StudyContext) -> dict[int, Codebook]:
    """Codebook of `nested-cells` for each seed, fitted to CIFAR-100's training set."""
    return {seed: fitted_nested_cells(seed, context.training_data, context.runs) for seed in SEEDS}


def high_snr_codebooks(codebooks: dict[int, Codebook]) -> dict[int, Codebook]:
    """The same codebooks with the power shares of the high-SNR code."""
    return {seed: codebook.for_high_snr() for seed, codebook in codebooks.items()}


def nested_link(codebooks: dict[int, Codebook], noiseless: NoiselessRetrieval) -> Callable[[Rate, int], SignalLink]:
    """Link of `nested-cells` for a rate and a seed."""
    return lambda rate, seed: SignalLink.nested(codebooks[seed], rate, noiseless)
