"""How closely an engine agrees with fp32, and how closely it must."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from engines.options import Precision
from semlink.report import Report

__all__ = ["Tolerance", "Verification", "VerificationReport", "tolerance"]

_NO_GAIN = 0.95
"""Share of the other precision's time from which a saving counts as none: two runs differ by a twentieth."""


@dataclass(frozen=True)
class Tolerance:
    """Least agreement that a precision must reach.

    Attributes
    ----------
    feature_cosine, feature_cosine_least : cosine of its features with those of fp32, mean and least over images
    """

    feature_cosine: float
    feature_cosine_least: float


_TOLERANCES = {
    Precision.FP32: Tolerance(0.9999, 0.999),
    Precision.FP16: Tolerance(0.999, 0.99),
    Precision.INT8: Tolerance(0.98, 0.90),
}
"""docs/engines.md, "int8 on every processor", has the measurements."""

_INT8_ON_GPU = Tolerance(0.97, 0.80)
"""GPUs have activations around zero alone, so that those behind a ReLU have seven bits in place of eight."""


def tolerance(precision: Precision, *, on_gpu: bool) -> Tolerance:
    """The agreement that a precision must reach on a CPU or on a GPU."""
    return _INT8_ON_GPU if precision is Precision.INT8 and on_gpu else _TOLERANCES[precision]


class Verification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An engine beside fp32, on one processor: agreement with fp32 of ONNX Runtime on the CPU, and times.

    Attributes
    ----------
    date : UTC
    feature_cosine, feature_cosine_least : of features, mean and least
    symbol_cosine : of symbols at one rate, mean; an image that falls into another cell, where a code has cells, has
        others altogether. None where the model set has no codec
    same_codes : share of the I and Q integers that are the same; None likewise
    latency_ms, fp32_latency_ms : medians of one image, from tensor to codes or, without a codec, features; fp32 has
        the engine's backend
    num_threads : CPU threads of all
    fp16_latency_ms : median of fp16, which is timed beside int8 on a GPU where fp16 was built for the same backend
    fp32_device : device that fp32 was timed on; records without the field have its time on the CPU
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
    fp16_latency_ms: float | None = None
    fp32_device: Literal["cpu", "gpu"] = "cpu"

    def is_within(self, needed: Tolerance) -> bool:
        """Whether the features agree closely enough."""
        is_close = self.feature_cosine >= needed.feature_cosine
        return is_close and self.feature_cosine_least >= needed.feature_cosine_least

    @property
    def alternative(self) -> tuple[Precision, float]:
        """The faster one of fp32 and fp16, where that was timed, and its time [ms]."""
        if self.fp16_latency_ms is not None and self.fp16_latency_ms < self.fp32_latency_ms:
            return Precision.FP16, self.fp16_latency_ms
        return Precision.FP32, self.fp32_latency_ms

    @property
    def is_faster(self) -> bool:
        """Whether it saves time beside the alternative."""
        return self.latency_ms < _NO_GAIN * self.alternative[1]

    def shortfall(self, precision: Precision, *, on_gpu: bool) -> str:
        """The end of an error message: the agreement found, the agreement needed, and the fix."""
        needed = tolerance(precision, on_gpu=on_gpu)
        calibrate = "calibrate it on images more like those of the link (--force), or "
        return (
            f"its features agree with fp32 to a cosine of {self.feature_cosine:.4f} on average and"
            f" {self.feature_cosine_least:.4f} at least, where {needed.feature_cosine:g} and"
            f" {needed.feature_cosine_least:g} are needed; {calibrate if precision is Precision.INT8 else ''}use fp32"
        )


class VerificationReport(Report, frozen=True, kw_only=True):
    """Report of `semlink engine verify`; its settings name the engine."""

    kind: Literal["engine-verification"] = "engine-verification"
    verification: Verification
