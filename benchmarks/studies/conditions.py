"""Studies of link conditions: another channel than in training, reports of the SNR, and shares of the power."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from benchmarks.report.schemas import Point
from benchmarks.studies.context import StudyContext
from benchmarks.studies.points import (
    at,
    by_snr,
    high_snr_codebooks,
    nested_codebooks,
    nested_link,
    noiseless_points,
    points,
)
from semlink.channel import ChannelModel
from semlink.rates import Rate
from trainer.codecs.config import TrainingChannel
from trainer.links.feedback_link import FeedbackLink

__all__ = ["feedback", "other_channel", "power_shares"]

_LOW_SNR, _HIGH_SNR = "low-SNR power share", "high-SNR power share"


def other_channel(context: StudyContext) -> Iterator[Point]:
    """Trained on AWGN, tested under block Rayleigh."""
    noiseless, snr_db = context.noiseless(context.cifar100), (-7.0, -4.0, 0.0, 4.0, 7.0, 10.0)
    channels: tuple[TrainingChannel, ...] = ("awgn", "rayleigh")
    for trained_on in channels:
        records = context.measure_kbsc(
            noiseless, snr_db=snr_db, channel=ChannelModel.RAYLEIGH, training_channel=trained_on
        )
        yield from points(records, by_snr, f"kbsc, trained on {trained_on}")
    link_of = nested_link(nested_codebooks(context), noiseless)
    nested = context.measure(noiseless, "nested-cells", link_of, snr_db=snr_db, channel=ChannelModel.RAYLEIGH)
    yield from points(nested, by_snr, "nested-cells, fitted without a channel")
    yield from noiseless_points(noiseless, snr_db)


def feedback(context: StudyContext) -> Iterator[Point]:
    """Both power shares, and the choice between them by correct and by biased reports; 64 symbols."""
    noiseless, codebooks = context.noiseless(context.cifar100), nested_codebooks(context)
    snr_db = (-7.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 2.0, 4.0, 7.0, 10.0, 15.0)
    for curve, codes in ((_LOW_SNR, codebooks), (_HIGH_SNR, high_snr_codebooks(codebooks))):
        records = context.measure(noiseless, "nested-cells", nested_link(codes, noiseless), snr_db=snr_db)
        yield from points(records, by_snr, curve)
    for error_db, curve in ((0.0, "by reports"), (6.0, "by reports 6 dB too high"), (-6.0, "by reports 6 dB too low")):

        def link_of(rate: Rate, seed: int, error_db: float = error_db) -> FeedbackLink:
            return FeedbackLink.of(codebooks[seed], rate, noiseless, report_error_db=error_db)

        yield from points(context.measure(noiseless, "nested-feedback", link_of, snr_db=snr_db), by_snr, curve)


def power_shares(context: StudyContext) -> Iterator[Point]:
    """Both power shares: on AWGN by the capacity of an image's symbols, under fading by the mean SNR."""
    noiseless, codebooks = context.noiseless(context.cifar100), nested_codebooks(context)
    shares = ((_LOW_SNR, codebooks), (_HIGH_SNR, high_snr_codebooks(codebooks)))
    for num_symbols, num_bits in itertools.product((16, 64, 256), (32, 48, 64, 96, 160)):
        snr_db = round(10.0 * math.log10(2.0 ** (num_bits / num_symbols) - 1.0), 1)
        for curve, codes in shares:
            link_of = nested_link(codes, noiseless)
            records = context.measure(noiseless, "nested-cells", link_of, rates=(str(num_symbols),), snr_db=(snr_db,))
            yield from points(records, at(f"{num_bits} bits"), f"{num_symbols} symbols, {curve}")
    for snr_db in (0.0, 4.0, 7.0, 10.0, 15.0):
        for curve, codes in shares:
            link_of = nested_link(codes, noiseless)
            records = context.measure(
                noiseless, "nested-cells", link_of, snr_db=(snr_db,), channel=ChannelModel.RAYLEIGH
            )
            yield from points(records, at(f"Rayleigh\n{snr_db:g} dB"), f"64 symbols, {curve}")
