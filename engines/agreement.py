"""How closely an engine agrees with fp32, and how closely it must."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from engines.options import Precision
from semlink.report import Report

__all__ = ["TOLERANCES", "Tolerance", "Verification", "VerificationReport"]

_NO_GAIN = 0.95
"""Of fp32's time: less than a twentieth is no gain, for runs differ by as much."""


@dataclass(frozen=True)
class Tolerance:
    """What a precision must reach.

    Attributes
    ----------
    feature_cosine, feature_cosine_least : cosine of its features with those of fp32, mean and least over images
    """

    feature_cosine: float
    feature_cosine_least: float


TOLERANCES = {
    Precision.FP32: Tolerance(0.9999, 0.999),
    Precision.FP16: Tolerance(0.999, 0.99),
    Precision.INT8: Tolerance(0.98, 0.90),
}
"""docs/engines.md, "int8 on every processor", has what is measured."""


class Verification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An engine beside fp32 of ONNX Runtime on the CPU, on one processor.

    Attributes
    ----------
    date : UTC
    feature_cosine, feature_cosine_least : of features, mean and least
    symbol_cosine : of symbols at one rate, mean; an image that falls into another cell has others altogether. None
        where the model set has no codec
    same_codes : share of the I and Q integers that are the same; None likewise
    latency_ms, fp32_latency_ms : medians of one image, from tensor to codes or, without a codec, features
    num_threads : CPU threads of both
    """

    date: str
    num_images: int
    feature_cosine: float
    feature_cosine_least: float
    symbol_cosine: float | None
    same_codes: float | None
    latency_ms: float
    fp32_latency_ms: float
    num_threads: int

    def is_within(self, tolerance: Tolerance) -> bool:
        """Whether the features agree closely enough."""
        return (
            self.feature_cosine >= tolerance.feature_cosine
            and self.feature_cosine_least >= tolerance.feature_cosine_least
        )

    @property
    def is_faster(self) -> bool:
        """Whether it saves time beside fp32."""
        return self.latency_ms < _NO_GAIN * self.fp32_latency_ms


class VerificationReport(Report, frozen=True, kw_only=True):
    """Report of `semlink engine verify`; its settings name the engine."""

    kind: Literal["engine-verification"] = "engine-verification"
    verification: Verification
