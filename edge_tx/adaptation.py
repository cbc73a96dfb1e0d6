"""What the next image is sent with, from what the receiver last reported.

Three rules, all of which hold without any report too:

index or not   `index` only while the knowledge base that the receiver reports is the one that the keys are of.
               Otherwise the other codec, which needs to know nothing.
rate           the smallest at which the channel carries `BITS_PER_IMAGE` at the reported SNR.
power          shared for a clear channel where that carries `HIGH_SNR_BITS_PER_IMAGE`: less for the codeword is then
               enough, and the rest tells more of the image. Frames say by their fingerprint which it was.
               A stream with pilots expects fades: its reported SNR is their mean, and counts `FADE_DEPTH_DB` less.

A report older than `MAX_AGE_S` counts as none: then the other codec, at the rate that was asked for first, with the
power shared for the worst.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from typing import Protocol

from edge_tx.model import GraphModel, IndexModel
from edge_tx.pipeline import Transmitter
from semlink.rates import Rate
from semlink.receiver_report import ReceiverReport

__all__ = [
    "BITS_PER_IMAGE",
    "FADE_DEPTH_DB",
    "HIGH_SNR_BITS_PER_IMAGE",
    "MAX_AGE_S",
    "Adaptation",
    "is_high_snr",
    "smallest_rate",
]

_log = logging.getLogger(__name__)

BITS_PER_IMAGE = 48.0
"""Of capacity: from there on `nested` keeps all but a point or two of the noiseless accuracy."""

HIGH_SNR_BITS_PER_IMAGE = 64.0
"""Of capacity: where sharing the power for a clear channel begins to pay, at 16, 64 and 256 symbols.

Source: docs/results.md, "Where sharing the power otherwise pays".
"""

FADE_DEPTH_DB = 10.0
"""Nine of ten Rayleigh fades are shallower: |h|^2 is below 0.105 with probability 0.1 [dB]."""

MAX_AGE_S = 10.0
"""After which a report says nothing any more [s]."""


def smallest_rate(rates: Iterable[Rate], snr_db: float) -> Rate:
    """The first rate that carries `BITS_PER_IMAGE`, by Shannon's n log2(1 + SNR); the largest if none does.

    Examples
    --------
    >>> from semlink.rates import RATES
    >>> [smallest_rate(RATES, snr_db).num_symbols for snr_db in (-7.0, 0.0, 10.0)]
    [256, 64, 16]
    """
    by_length = sorted(rates, key=lambda rate: rate.num_symbols)
    return next((rate for rate in by_length if _bits_per_image(rate, snr_db) >= BITS_PER_IMAGE), by_length[-1])


def is_high_snr(rate: Rate, snr_db: float, *, expects_fades: bool) -> bool:
    """Whether a channel carries `HIGH_SNR_BITS_PER_IMAGE` at a rate, in a fade too if some are to be expected.

    Examples
    --------
    >>> from semlink.rates import parse_rate
    >>> [is_high_snr(parse_rate("64"), snr_db, expects_fades=False) for snr_db in (-1.0, 0.0)]
    [False, True]
    >>> [is_high_snr(parse_rate("64"), snr_db, expects_fades=True) for snr_db in (9.0, 10.0)]
    [False, True]
    """
    return _bits_per_image(rate, snr_db - FADE_DEPTH_DB * expects_fades) >= HIGH_SNR_BITS_PER_IMAGE


def _bits_per_image(rate: Rate, snr_db: float) -> float:
    """Shannon's capacity of a rate's symbols over AWGN."""
    return rate.num_symbols * math.log2(1.0 + 10.0 ** (snr_db / 10.0))


class Reports(Protocol):
    """Where reports come from, such as `semlink.transport.ReportSubscriber`."""

    def newest(self) -> ReceiverReport | None:
        """The newest report since the last call."""
        ...


class Adaptation:
    """Sets a transmitter's model and rate before each image.

    Parameters
    ----------
    model : the codec that needs to know nothing of the receiver, with its code for a clear channel if it has one
    index : the one that sends entries' numbers; None without keys
    rate : to start with, and to keep unless `adapts_rate`
    adapts_rate : follow the reported SNR
    """

    def __init__(self, model: GraphModel, index: IndexModel | None, rate: Rate, *, adapts_rate: bool) -> None:
        self._model, self._index, self._rate, self._adapts_rate = model, index, rate, adapts_rate
        self._start_s = time.monotonic()
        self._told: str | None = None
        self._report: ReceiverReport | None = None
        self._heard_s = -math.inf

    @property
    def has_report(self) -> bool:
        """Whether any report has come."""
        return self._report is not None

    def prepare(self, reports: Reports, transmitter: Transmitter) -> None:
        """Choose for the next image, after hearing what is new; what makes it fall back is said once each time."""
        if (report := reports.newest()) is not None:
            self._report, self._heard_s = report, time.monotonic()
        snr_db = self._reported_snr_db(transmitter.stream_id)
        rate = self._chosen_rate(snr_db)
        model = self._chosen_model(rate, snr_db, expects_fades=transmitter.num_pilots > 0)
        if model is not transmitter.model:
            _log.info("sending with %s", model.codec)
        transmitter.model = model
        reason = self._reason()
        if reason != self._told:
            is_news = reason is not None and transmitter.model is not self._index
            _log.log(
                logging.WARNING if is_news else logging.INFO, "%s: %s", transmitter.model.codec, reason or "as asked"
            )
            self._told = reason
        if rate != transmitter.rate:
            _log.info("sending %d symbols an image", rate.num_symbols)
            transmitter.rate = rate

    @property
    def _fresh_report(self) -> ReceiverReport | None:
        return None if time.monotonic() - self._heard_s > MAX_AGE_S else self._report

    def _reported_snr_db(self, stream_id: int) -> float | None:
        report = self._fresh_report
        return None if report is None else report.snr_db.get(f"{stream_id:016x}")

    def _chosen_model(self, rate: Rate, snr_db: float | None, *, expects_fades: bool) -> GraphModel | IndexModel:
        report = self._fresh_report
        if self._index is not None and report is not None and self._is_of_our_keys(report):
            return self._index
        clear = self._model.for_high_snr
        if clear is None or snr_db is None or not is_high_snr(rate, snr_db, expects_fades=expects_fades):
            return self._model
        return clear

    def _is_of_our_keys(self, report: ReceiverReport) -> bool:
        return self._index is not None and report.knowledge_base == self._index.keys.knowledge_base.hex()

    def _reason(self) -> str | None:
        """Why the next image is not sent as was asked for; None if it is, or if nothing can be known yet."""
        report = self._fresh_report
        if report is None:
            is_early = time.monotonic() - max(self._heard_s, self._start_s) <= MAX_AGE_S
            return (
                None
                if is_early
                else f"no report was heard for {MAX_AGE_S:g} s; is it rx --feedback that --feedback names?"
            )
        if self._index is None or self._is_of_our_keys(report):
            return None
        return "the keys are not of the receiver's knowledge base; export them again: semlink kb export-keys"

    def _chosen_rate(self, snr_db: float | None) -> Rate:
        if not self._adapts_rate or snr_db is None:
            return self._rate
        return smallest_rate(self._model.fingerprints, snr_db)
