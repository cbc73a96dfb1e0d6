"""Studies of codes: rates, nesting, objectives, error detection and decisions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.report.schemas import Point
from benchmarks.studies.context import SEEDS, StudyContext
from benchmarks.studies.points import (
    THREE_SNR_DB,
    by_snr,
    by_symbols,
    nested_codebooks,
    nested_link,
    noiseless_points,
    points,
)
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.templates import SignalTemplates
from engines.models.codebook import Codebook
from semlink.rates import RATES, Rate, parse_rate
from trainer.codecs.config import Objective
from trainer.codecs.nested_cells import CellsFit, fitted_codebook
from trainer.codecs.nested_labels import fitted_nested_labels, fitted_projection
from trainer.evaluation.bounds import message_error_rate
from trainer.links.graph_link import GraphLink
from trainer.links.index_polar import IndexPolarLink
from trainer.links.signal_link import SignalLink

__all__ = ["decisions", "error_detection", "nesting", "no_compression", "objectives", "rate_sweep"]

_SIX_SNR_DB = (-7.0, -4.0, 0.0, 4.0, 7.0, 10.0)


def no_compression(context: StudyContext) -> Iterator[Point]:
    """The 512 features in 256 symbols, uncoded, beside codecs of the same rate."""
    noiseless, rates = context.noiseless(context.cifar100), ("256",)
    uncoded = context.measure(
        noiseless, "uncoded", lambda rate, _: GraphLink.uncoded(rate, 512), rates=rates, snr_db=_SIX_SNR_DB
    )
    yield from points(uncoded, by_snr)
    yield from points(context.measure_kbsc(noiseless, rates=rates, snr_db=_SIX_SNR_DB), by_snr)
    link_of = nested_link(nested_codebooks(context), noiseless)
    yield from points(context.measure(noiseless, "nested-cells", link_of, rates=rates, snr_db=_SIX_SNR_DB), by_snr)
    yield from noiseless_points(noiseless, _SIX_SNR_DB)


def rate_sweep(context: StudyContext) -> Iterator[Point]:
    """Every rate at 0 dB."""
    noiseless, rates = context.noiseless(context.cifar100), tuple(str(rate.num_symbols) for rate in RATES)
    projection = {
        seed: fitted_projection(seed, context.training_data, context.runs, precision="bf16") for seed in SEEDS
    }
    labelled, label_alone = (
        {
            seed: fitted_nested_labels(
                seed, context.training_data, projection[seed], context.runs, label_alone=label_alone
            )
            for seed in SEEDS
        }
        for label_alone in (False, True)
    )
    yield from points(context.measure_kbsc(noiseless, rates=rates[4:]), by_symbols)
    link_of = nested_link(nested_codebooks(context), noiseless)
    yield from points(context.measure(noiseless, "nested-cells", link_of, rates=rates), by_symbols)
    index = context.measure(
        noiseless, "index", lambda rate, seed: SignalLink.index(rate, noiseless, seed=seed), rates=rates
    )
    yield from points(index, by_symbols)

    for name, codebooks in (("nested-labels", labelled), ("label", label_alone)):

        def link(rate: Rate, seed: int, codebooks: dict[int, Codebook] = codebooks) -> SignalLink:
            return SignalLink.nested(codebooks[seed], rate, noiseless, projection=projection[seed].model)

        yield from points(context.measure(noiseless, name, link, rates=rates), by_symbols)
    yield from noiseless_points(noiseless, [float(rate.num_symbols) for rate in RATES])


def objectives(context: StudyContext) -> Iterator[Point]:
    """`kbsc` trained to preserve features, similarities or both, without labels, and `nested`; 64 symbols."""
    noiseless = context.noiseless(context.cifar100)
    curves: tuple[tuple[Objective, str], ...] = (
        ("mse", "kbsc, features (MSE)"),
        ("similarity", "kbsc, similarities between images"),
        ("both", "kbsc, both"),
    )
    for objective, curve in curves:
        records = context.measure_kbsc(noiseless, snr_db=_SIX_SNR_DB, objective=objective)
        yield from points(records, by_snr, curve)
    link_of = nested_link(nested_codebooks(context), noiseless)
    yield from points(context.measure(noiseless, "nested-cells", link_of, snr_db=_SIX_SNR_DB), by_snr)
    yield from noiseless_points(noiseless, _SIX_SNR_DB)


def nesting(context: StudyContext) -> Iterator[Point]:
    """One nested code against codes for one rate alone, of 128, 256 and 1,536 cells; at 0 and 10 dB."""
    noiseless = context.noiseless(context.cifar100)
    rates = ("4", "8", "16", "64", "256", "1024")
    for snr_db in (0.0, 10.0):
        link_of = nested_link(nested_codebooks(context), noiseless)
        nested = context.measure(noiseless, "nested-cells", link_of, rates=rates, snr_db=(snr_db,))
        yield from points(nested, by_symbols, f"one code for all rates, {snr_db:g} dB")
        for num_cells, rate in itertools.product((128, 256, 1536), rates):
            fits = {
                seed: CellsFit(seed, num_cells=num_cells, num_symbols=int(rate), coarse_levels=()) for seed in SEEDS
            }
            of_rate = {seed: fitted_codebook(fit, context.training_data, context.runs) for seed, fit in fits.items()}
            link_of = nested_link(of_rate, noiseless)
            records = context.measure(noiseless, "nested-cells", link_of, rates=(rate,), snr_db=(snr_db,))
            yield from points(records, by_symbols, f"a code for each rate, {num_cells:,} cells, {snr_db:g} dB")


def error_detection(context: StudyContext) -> Iterator[Point]:
    """`index`, 5G's polar code with its CRC, and bounds of any code, without and with a CRC."""
    noiseless, snr_db = context.noiseless(context.cifar100), (-10.0, -7.0, -4.0, -2.0, 0.0, 2.0, 4.0)
    num_entries = len(noiseless.index)
    for rate in (parse_rate("16"), parse_rate("64")):
        name, rates = f"{rate.num_symbols} symbols", (str(rate.num_symbols),)
        records = context.measure(
            noiseless,
            "index",
            lambda rate, seed: SignalLink.index(rate, noiseless, seed=seed),
            rates=rates,
            snr_db=snr_db,
        )
        yield from points(records, by_snr, f"index, {name}")
        polar = IndexPolarLink.of(rate, noiseless)

        def polar_link(_rate: Rate, _seed: int, polar: IndexPolarLink = polar) -> IndexPolarLink:
            return polar

        records = context.measure(noiseless, "index-polar", polar_link, rates=rates, snr_db=snr_db, num_jobs=1)
        yield from points(records, by_snr, f"polar code with CRC, {name}")
        for num_crc_bits, message in ((0, "without CRC"), (6, "CRC of 6 bits")):
            for snr in snr_db:
                error = message_error_rate(num_entries * 2**num_crc_bits, rate, snr)
                yield Point(f"bound, {name}, {message}", snr, 0, noiseless.accuracy * (1.0 - error))


def decisions(context: StudyContext) -> Iterator[Point]:
    """Decide for the most probable entry, or by minimum Bayes risk among 64 candidates, on the same noise."""
    noiseless, codebooks = context.noiseless(context.cifar100), nested_codebooks(context)
    for num_candidates, name in ((1, "most probable entry"), (64, "minimum Bayes risk")):

        def link_of(rate: Rate, seed: int, num_candidates: int = num_candidates) -> SignalLink:
            codebook = codebooks[seed]
            templates = SignalTemplates.of(codebook, noiseless.kb_features)
            search = MapDetector(templates, rate, num_candidates=num_candidates)
            return SignalLink(rate, codebook.latent, search, is_label_known=False)

        for snr_db in THREE_SNR_DB:
            rates = ("4", "8", "16", "32", "64")
            records = context.measure(noiseless, "nested-cells", link_of, rates=rates, snr_db=(snr_db,))
            yield from points(records, by_symbols, f"{name}, {snr_db:g} dB")
