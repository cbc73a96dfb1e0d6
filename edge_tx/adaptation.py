"""Plan of the next image from the receiver's last report.

Three rules:

codec   the first of the preferred codecs that the receiver decodes: `index` while its knowledge base is that of the
        entry codebook, `adapted` while it has the codebook. Otherwise the codec for any receiver.
rate    the smallest rate at which the channel carries `BITS_PER_IMAGE` at the reported SNR, or for a code without
        codewords, such as `nested`, `ANALOG_BITS_PER_IMAGE`.
power   the high-SNR code where the channel carries `HIGH_SNR_BITS_PER_IMAGE`: its codeword has less power, its analog
        part more. A frame's fingerprint identifies the code. For a stream with pilots the reported SNR is the mean over
        fades, so `FADE_DEPTH_DB` is subtracted.

Without a report, or with one older than `MAX_AGE_S`: the codec for any receiver, the initial rate, the low-SNR code.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from edge_tx.candidates import Candidate
from edge_tx.model import TransmitterModel
from edge_tx.pipeline import Plan
from semlink.rates import Rate
from semlink.receiver_report import ReceiverReport

__all__ = [
    "ANALOG_BITS_PER_IMAGE",
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
"""Channel capacity at which `nested-cells` loses at most two points of the noiseless accuracy on CIFAR-100."""

ANALOG_BITS_PER_IMAGE = 220.0
"""Channel capacity at which `nested` loses about three points of the noiseless accuracy, the median of five sets: an
analog signal needs more of it, and even so loses seven points on digits."""

HIGH_SNR_BITS_PER_IMAGE = 64.0
"""Channel capacity from which the high-SNR code is better, at 16, 64 and 256 symbols.

Source: docs/results.md, "Threshold between the power shares".
"""

FADE_DEPTH_DB = 10.0
"""Nine of ten Rayleigh fades are shallower: |h|^2 is below 0.105 with probability 0.1 [dB]."""

MAX_AGE_S = 10.0
"""Age at which a report expires [s]."""

_NO_REPORT = f"no report arrived for {MAX_AGE_S:g} s; does --feedback name the address of rx --feedback?"


def smallest_rate(rates: Iterable[Rate], snr_db: float, *, sends_codewords: bool) -> Rate:
    """The first rate that carries the bits of an image, by Shannon's n log2(1 + SNR); the largest if none does.

    Parameters
    ----------
    sends_codewords : whether that is `BITS_PER_IMAGE`, and not `ANALOG_BITS_PER_IMAGE`

    Examples
    --------
    >>> from semlink.rates import RATES
    >>> [smallest_rate(RATES, snr_db, sends_codewords=True).num_symbols for snr_db in (-7.0, 0.0, 10.0)]
    [256, 64, 16]
    >>> [smallest_rate(RATES, snr_db, sends_codewords=False).num_symbols for snr_db in (-7.0, 0.0, 10.0)]
    [1024, 256, 64]
    """
    by_length = sorted(rates, key=lambda rate: rate.num_symbols)
    needed = BITS_PER_IMAGE if sends_codewords else ANALOG_BITS_PER_IMAGE
    return next((rate for rate in by_length if _bits_per_image(rate, snr_db) >= needed), by_length[-1])


def is_high_snr(rate: Rate, snr_db: float, *, expects_fades: bool) -> bool:
    """Whether a channel carries `HIGH_SNR_BITS_PER_IMAGE` at a rate, also in a fade if fades are expected.

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
    """Source of reports, such as `semlink.feedback.ReportSubscriber`."""

    def newest(self) -> ReceiverReport | None:
        """The newest report since the last call."""
        ...


class Adaptation:
    """Plans the model and the rate of each image from the receiver's reports.

    Parameters
    ----------
    fallback : codec for any receiver, with its high-SNR code if it has one
    rate : initial rate, kept unless `adapts_rate`
    preferred : codecs that only some receivers decode, the most preferred first
    adapts_rate : follow the reported SNR
    """

    def __init__(
        self, fallback: TransmitterModel, rate: Rate, preferred: Sequence[Candidate] = (), *, adapts_rate: bool
    ) -> None:
        self._fallback, self._rate, self._preferred, self._adapts_rate = fallback, rate, preferred, adapts_rate
        self._start_s = time.monotonic()
        self._logged_advice: list[str] = []
        self._logged_plan = Plan(fallback, rate)
        self._report: ReceiverReport | None = None
        self._received_s = -math.inf

    @property
    def has_report(self) -> bool:
        """Whether any report was received."""
        return self._report is not None

    @property
    def has_warned(self) -> bool:
        """Whether the log says that reports stay out, since the last one or the start."""
        return _NO_REPORT in self._logged_advice

    def plan(self, reports: Reports, *, stream_id: int, expects_fades: bool) -> Plan:
        """Plan the next image from the newest report; changes, and reasons to fall back, are logged once.

        Parameters
        ----------
        stream_id : the transmitter's stream, whose SNR the report holds
        expects_fades : whether the stream has pilots
        """
        if (newest := reports.newest()) is not None:
            self._report, self._received_s = newest, time.monotonic()
        report = self._fresh_report
        model, advice = self._choose_codec(report)
        snr_db = None if report is None else report.snr_db.get(f"{stream_id:016x}")
        rate = self._rate
        if snr_db is not None:
            if self._adapts_rate:
                rate = smallest_rate(model.fingerprints, snr_db, sends_codewords=model.sends_codewords)
            if model.for_high_snr is not None and is_high_snr(rate, snr_db, expects_fades=expects_fades):
                model = model.for_high_snr
        plan = Plan(model, rate)
        self._log(plan, advice)
        return plan

    @property
    def _fresh_report(self) -> ReceiverReport | None:
        return None if time.monotonic() - self._received_s > MAX_AGE_S else self._report

    def _choose_codec(self, report: ReceiverReport | None) -> tuple[TransmitterModel, list[str]]:
        """The codec of the next image, and advice for the user about it and about those that are preferred to it."""
        if report is None:
            is_early = time.monotonic() - max(self._received_s, self._start_s) <= MAX_AGE_S
            return self._fallback, [] if is_early else [_NO_REPORT]
        advice: list[str] = []
        for candidate in self._preferred:
            fit = candidate.fit(report)
            advice += [fit.advice] if fit.advice else []
            if fit.is_decoded:
                return candidate.model, advice
        return self._fallback, advice

    def _log(self, plan: Plan, advice: list[str]) -> None:
        if plan.model is not self._logged_plan.model:
            _log.info("sending with %s", plan.model.codec)
        if plan.rate != self._logged_plan.rate:
            _log.info("sending %d symbols an image", plan.rate.num_symbols)
        self._logged_plan = plan
        if advice == self._logged_advice:
            return
        for line in advice:
            if line not in self._logged_advice:
                _log.warning("%s: %s", plan.model.codec, line)
        if not advice:
            _log.info("%s: as configured", plan.model.codec)
        self._logged_advice = advice
