"""How the studies' questions are measured; `benchmarks.studies.catalogue` says what they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.studies.context import SEEDS, StudyContext
from benchmarks.studies.report import Point
from engines.models.codebook import Codebook
from semlink.channel import ChannelModel
from semlink.rates import RATES, Rate, parse_rate
from trainer.codecs.config import Objective
from trainer.codecs.nested import NestedFit, fitted_codebook, fitted_nested
from trainer.codecs.nested_labels import fitted_nested_labels, fitted_projection
from trainer.datasets import open_dataset
from trainer.evaluation.bounds import message_error_rate
from trainer.evaluation.record import Record
from trainer.links.feedback_link import FeedbackLink
from trainer.links.graph_link import GraphLink
from trainer.links.index_polar import IndexPolarLink
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.signal_link import SignalLink

__all__ = [
    "answers",
    "cross_domain",
    "error_detection",
    "feedback",
    "kb_size",
    "nesting",
    "no_compression",
    "objectives",
    "other_channel",
    "power_shares",
    "rate_sweep",
]

_SNR_DB = (-7.0, 0.0, 10.0)


def _points(records: list[Record], x: Callable[[Record], float | str], curve: str | None = None) -> Iterator[Point]:
    for record in records:
        yield Point(curve or record.codec, x(record), record.seed, record.semantic_accuracy)


def _ideal(noiseless: NoiselessRetrieval, places: list[float | str]) -> Iterator[Point]:
    for x in places:
        yield Point("ideal: no codec, no channel", x, 0, noiseless.accuracy)


def _nested(bench: StudyContext) -> dict[int, Codebook]:
    return {seed: fitted_nested(seed, bench.training_data, bench.runs) for seed in SEEDS}


def _nested_link(codebooks: dict[int, Codebook], noiseless: NoiselessRetrieval) -> Callable[[Rate, int], SignalLink]:
    return lambda rate, seed: SignalLink.nested(codebooks[seed], rate, noiseless)


def _by_snr(record: Record) -> float:
    return record.snr_db


def _by_symbols(record: Record) -> float:
    return record.num_symbols


def no_compression(bench: StudyContext) -> Iterator[Point]:
    """The 512 features as they are in 256 symbols, beside codecs of the same rate."""
    noiseless, snr_db = bench.noiseless(bench.cifar100), (-7.0, -4.0, 0.0, 4.0, 7.0, 10.0)
    grid = {"rates": ("256",), "snr_db": snr_db}
    uncoded = bench.measure(noiseless, "uncoded", lambda rate, _: GraphLink.uncoded(rate, 512), **grid)
    yield from _points(uncoded, _by_snr)
    yield from _points(bench.measure_kbsc(noiseless, **grid), _by_snr)
    yield from _points(bench.measure(noiseless, "nested", _nested_link(_nested(bench), noiseless), **grid), _by_snr)
    yield from _ideal(noiseless, list(snr_db))


def rate_sweep(bench: StudyContext) -> Iterator[Point]:
    """Every rate at 0 dB."""
    noiseless, every = bench.noiseless(bench.cifar100), tuple(str(rate.num_symbols) for rate in RATES)
    projection = {seed: fitted_projection(seed, bench.training_data, bench.runs, precision="bf16") for seed in SEEDS}
    labelled, label_alone = (
        {
            seed: fitted_nested_labels(seed, bench.training_data, projection[seed], bench.runs, label_alone=label_alone)
            for seed in SEEDS
        }
        for label_alone in (False, True)
    )
    yield from _points(bench.measure_kbsc(noiseless, rates=every[4:]), _by_symbols)
    nested = bench.measure(noiseless, "nested", _nested_link(_nested(bench), noiseless), rates=every)
    yield from _points(nested, _by_symbols)
    index = bench.measure(
        noiseless, "index", lambda rate, seed: SignalLink.index(rate, noiseless, seed=seed), rates=every
    )
    yield from _points(index, _by_symbols)

    for name, codebooks in (("nested-labels", labelled), ("label", label_alone)):

        def link(rate: Rate, seed: int, codebooks: dict[int, Codebook] = codebooks) -> SignalLink:
            return SignalLink.nested(codebooks[seed], rate, noiseless, projection=projection[seed].model)

        yield from _points(bench.measure(noiseless, name, link, rates=every), _by_symbols)
    yield from _ideal(noiseless, [float(rate.num_symbols) for rate in RATES])


def other_channel(bench: StudyContext) -> Iterator[Point]:
    """Trained on AWGN, tested under block Rayleigh."""
    noiseless, grid = bench.noiseless(bench.cifar100), {"snr_db": (-7.0, -4.0, 0.0, 4.0, 7.0, 10.0)}
    fading = {**grid, "channel": ChannelModel.RAYLEIGH}
    for trained_on in ("awgn", "rayleigh"):
        records = bench.measure_kbsc(noiseless, **fading, trained_on=trained_on)
        yield from _points(records, _by_snr, f"kbsc, trained on {trained_on}")
    nested = bench.measure(noiseless, "nested", _nested_link(_nested(bench), noiseless), **fading)
    yield from _points(nested, _by_snr, "nested, trained on no channel")
    yield from _ideal(noiseless, list(grid["snr_db"]))


def _rows_of_each(labels: np.ndarray, counts: dict[str, int]) -> np.ndarray:
    """The first so many rows of each label."""
    rows = [np.flatnonzero(labels == label)[:count] for label, count in counts.items()]
    return np.sort(np.concatenate(rows))


def kb_size(bench: StudyContext) -> Iterator[Point]:
    """A KB of 1 to 50 images a class, as many of each or with a long tail, of which no class has more than 50."""
    labels = np.asarray(bench.cifar100.knowledge_base.labels)
    names = np.unique(labels)
    codebooks = _nested(bench)
    for per_class in (1, 5, 10, 25, 50):
        # A long tail: the n-th class has a share that falls to a hundredth of the first's.
        shares = 0.01 ** (np.arange(len(names)) / (len(names) - 1))
        tail = np.clip(np.rint(shares * per_class * len(names) / shares.sum()), 1, 50).astype(int)
        order = np.random.default_rng(0).permutation(names)
        for kind, counts in (
            ("alike", dict.fromkeys(names, per_class)),
            ("long tail", dict(zip(order, tail.tolist(), strict=True))),
        ):
            mean_count = sum(counts.values()) / len(counts)
            noiseless = bench.noiseless(bench.cifar100, kb_rows=_rows_of_each(labels, counts))
            records = bench.measure(noiseless, "nested", _nested_link(codebooks, noiseless), snr_db=_SNR_DB)
            for record in records:
                yield Point(f"nested, {record.snr_db:g} dB, {kind}", mean_count, record.seed, record.semantic_accuracy)
            yield Point(f"ideal, {kind}", mean_count, 0, noiseless.accuracy)


def objectives(bench: StudyContext) -> Iterator[Point]:
    """What `kbsc` is trained to keep, none of it by labels, and `nested`, which is not trained; 64 symbols."""
    noiseless, snr_db = bench.noiseless(bench.cifar100), (-7.0, -4.0, 0.0, 4.0, 7.0, 10.0)
    losses: tuple[tuple[Objective, str], ...] = (
        ("mse", "kbsc, every number (MSE)"),
        ("similarity", "kbsc, whom an image resembles"),
        ("both", "kbsc, both"),
    )
    for loss, curve in losses:
        yield from _points(bench.measure_kbsc(noiseless, snr_db=snr_db, loss=loss), _by_snr, curve)
    yield from _points(
        bench.measure(noiseless, "nested", _nested_link(_nested(bench), noiseless), snr_db=snr_db), _by_snr
    )
    yield from _ideal(noiseless, list(snr_db))


def cross_domain(bench: StudyContext) -> Iterator[Point]:
    """Codecs of CIFAR-100 at 64 symbols, images of other kinds; nothing is trained again."""
    codebooks = _nested(bench)
    for name in ("digits", "photos"):
        noiseless = bench.noiseless(open_dataset(name, progress=bench.progress))
        for snr_db in _SNR_DB:
            place = f"{name}\n{snr_db:g} dB"
            yield from _points(bench.measure_kbsc(noiseless, snr_db=(snr_db,)), lambda _, place=place: place)  # type: ignore[misc]
            records = bench.measure(noiseless, "nested", _nested_link(codebooks, noiseless), snr_db=(snr_db,))
            yield from _points(records, lambda _, place=place: place)  # type: ignore[misc]
            yield from _ideal(noiseless, [place])


def nesting(bench: StudyContext) -> Iterator[Point]:
    """One nested code against codes made for one rate alone, of 128, 256 and 1,536 cells; at 0 and 10 dB."""
    noiseless = bench.noiseless(bench.cifar100)
    rates = ("4", "8", "16", "64", "256", "1024")
    for snr_db in (0.0, 10.0):
        link_of = _nested_link(_nested(bench), noiseless)
        nested = bench.measure(noiseless, "nested", link_of, rates=rates, snr_db=(snr_db,))
        yield from _points(nested, _by_symbols, f"one code for all rates, {snr_db:g} dB")
        for num_cells, rate in itertools.product((128, 256, 1536), rates):
            fits = {
                seed: NestedFit(seed, num_cells=num_cells, num_symbols=int(rate), coarse_levels=()) for seed in SEEDS
            }
            special = {seed: fitted_codebook(fit, bench.training_data, bench.runs) for seed, fit in fits.items()}
            link_of = _nested_link(special, noiseless)
            records = bench.measure(noiseless, "nested", link_of, rates=(rate,), snr_db=(snr_db,))
            yield from _points(records, _by_symbols, f"a code for each rate, {num_cells:,} cells, {snr_db:g} dB")


def error_detection(bench: StudyContext) -> Iterator[Point]:
    """`index`, 5G's polar code with its CRC, and the best that any code could do, without and with a CRC."""
    noiseless, snr_db = bench.noiseless(bench.cifar100), (-10.0, -7.0, -4.0, -2.0, 0.0, 2.0, 4.0)
    num_entries = len(noiseless.index)
    for rate in (parse_rate("16"), parse_rate("64")):
        name = f"{rate.num_symbols} symbols"
        records = bench.measure(
            noiseless,
            "index",
            lambda rate, seed: SignalLink.index(rate, noiseless, seed=seed),
            rates=(str(rate.num_symbols),),
            snr_db=snr_db,
        )
        yield from _points(records, _by_snr, f"index, {name}")
        polar = IndexPolarLink.of(rate, noiseless)
        records = bench.measure(
            noiseless,
            "index-polar",
            lambda *_, polar=polar: polar,  # type: ignore[misc]
            rates=(str(rate.num_symbols),),
            snr_db=snr_db,
            num_jobs=1,
        )
        yield from _points(records, _by_snr, f"polar code with CRC, {name}")
        for num_crc_bits, what in ((0, "the number alone"), (6, "the number and a CRC of 6 bits")):
            for snr in snr_db:
                error = message_error_rate(num_entries * 2**num_crc_bits, rate, snr)
                yield Point(f"bound, {name}, {what}", snr, 0, noiseless.accuracy * (1.0 - error))


def answers(bench: StudyContext) -> Iterator[Point]:
    """The likeliest entry, and the one that the likely ones resemble; the same code, sent through the same noise."""
    noiseless, codebooks = bench.noiseless(bench.cifar100), _nested(bench)
    for num_candidates, name in ((1, "the likeliest entry"), (64, "what the likely ones resemble")):

        def link_of(rate: Rate, seed: int, num_candidates: int = num_candidates) -> SignalLink:
            return SignalLink.nested(codebooks[seed], rate, noiseless, num_candidates=num_candidates)

        for snr_db in _SNR_DB:
            records = bench.measure(noiseless, "nested", link_of, rates=("4", "8", "16", "32", "64"), snr_db=(snr_db,))
            yield from _points(records, _by_symbols, f"{name}, {snr_db:g} dB")


def feedback(bench: StudyContext) -> Iterator[Point]:
    """The power shared for the worst, for a clear channel, and as right and wrong reports say; 64 symbols."""
    noiseless, codebooks = bench.noiseless(bench.cifar100), _nested(bench)
    snr_db = (-7.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 2.0, 4.0, 7.0, 10.0, 15.0)
    for curve, codes in (("for the worst", codebooks), ("for a clear channel", _clear(codebooks))):
        yield from _points(
            bench.measure(noiseless, "nested", _nested_link(codes, noiseless), snr_db=snr_db), _by_snr, curve
        )
    for error_db, curve in ((0.0, "by reports"), (6.0, "by reports 6 dB too high"), (-6.0, "by reports 6 dB too low")):

        def link_of(rate: Rate, seed: int, error_db: float = error_db) -> FeedbackLink:
            return FeedbackLink.of(codebooks[seed], rate, noiseless, report_error_db=error_db)

        yield from _points(bench.measure(noiseless, "nested-feedback", link_of, snr_db=snr_db), _by_snr, curve)


def power_shares(bench: StudyContext) -> Iterator[Point]:
    """Both ways to share the power, by the capacity that an image has on AWGN, and by the mean SNR under fading."""
    noiseless, codebooks = bench.noiseless(bench.cifar100), _nested(bench)
    codes = (("for the worst", codebooks), ("for a clear channel", _clear(codebooks)))
    for num_symbols, num_bits in itertools.product((16, 64, 256), (32, 48, 64, 96, 160)):
        snr_db = round(10.0 * math.log10(2.0 ** (num_bits / num_symbols) - 1.0), 1)
        for curve, books in codes:
            link_of = _nested_link(books, noiseless)
            records = bench.measure(noiseless, "nested", link_of, rates=(str(num_symbols),), snr_db=(snr_db,))
            yield from _points(records, lambda _: f"{num_bits} bits", f"{num_symbols} symbols, {curve}")  # noqa: B023
    for snr_db in (0.0, 4.0, 7.0, 10.0, 15.0):
        for curve, books in codes:
            link_of = _nested_link(books, noiseless)
            records = bench.measure(noiseless, "nested", link_of, snr_db=(snr_db,), channel=ChannelModel.RAYLEIGH)
            yield from _points(records, lambda _: f"Rayleigh\n{snr_db:g} dB", f"64 symbols, {curve}")  # noqa: B023


def _clear(codebooks: dict[int, Codebook]) -> dict[int, Codebook]:
    return {seed: codebook.for_high_snr() for seed, codebook in codebooks.items()}
