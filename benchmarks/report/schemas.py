"""Reports of the benchmarks that have more than timed stages; the module that measures each is named in its docstring.

They stand apart from what measures them, so that a report is read without torch.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from semlink.report import Report

__all__ = [
    "DevicePart",
    "DeviceReport",
    "Int8Agreement",
    "Int8Report",
    "Point",
    "PrecisionReport",
    "PrecisionRow",
    "QuantizationReport",
    "QuantizationRow",
    "SameWork",
    "SideBySideReport",
    "SoakReport",
    "StudyReport",
]


class DevicePart(msgspec.Struct, frozen=True):
    """A part of a GPU benchmark without a figure, and why."""

    name: str
    reason: str


class DeviceReport(Report, frozen=True, kw_only=True):
    """Result of `benchmarks.gpu`: stages on one device.

    Attributes
    ----------
    skipped : parts that this machine cannot run
    failed : parts with a wrong result, or that broke
    """

    kind: Literal["latency-gpu"] = "latency-gpu"
    skipped: list[DevicePart]
    failed: list[DevicePart]


class PrecisionRow(msgspec.Struct, frozen=True):
    """The image encoder at one precision.

    Attributes
    ----------
    feature_cosine, symbol_cosine : mean cosine with fp32, of features and of symbols
    semantic_accuracy : without a channel
    semantic_accuracy_awgn : over AWGN, by SNR in dB: mean, and the ends of the 95 % interval over seeds of the noise
    """

    precision: str
    feature_cosine: float
    symbol_cosine: float
    semantic_accuracy: float
    semantic_accuracy_awgn: dict[str, tuple[float, float, float]]


class PrecisionReport(Report, frozen=True, kw_only=True):
    """Result of `benchmarks.precision`."""

    kind: Literal["precision"] = "precision"
    rows: list[PrecisionRow]


class SameWork(msgspec.Struct, frozen=True):
    """How a link's results compare with torch eager's, without noise.

    Attributes
    ----------
    name : the link's name in the stages
    feature_cosine, symbol_cosine : least cosine over the images
    same_entries : number of images for which both match the same entry
    """

    name: str
    num_images: int
    feature_cosine: float
    symbol_cosine: float
    same_entries: int


class SideBySideReport(Report, frozen=True, kw_only=True):
    """Result of `benchmarks.side_by_side`: a stage for each path of each link.

    Attributes
    ----------
    same_work : of each link that runs torch's networks
    """

    kind: Literal["side-by-side"] = "side-by-side"
    same_work: list[SameWork]


class SoakReport(Report, frozen=True, kw_only=True):
    """Result of `benchmarks.soak`.

    Attributes
    ----------
    resident_mb : the receiver's resident memory [MB] by the number of frames that it had processed
    growth_after_warm_up_mb : last reading minus that at the end of the warm-up [MB]
    allowed_growth_mb : growth at which the run counts as a leak [MB]
    """

    kind: Literal["soak"] = "soak"
    frames_per_s: float
    growth_after_warm_up_mb: float
    allowed_growth_mb: float
    resident_mb: dict[int, float]


class Point(msgspec.Struct, frozen=True):
    """One measurement of a study.

    Attributes
    ----------
    curve : name of the curve
    x : position on the axis, a number or a name
    semantic_accuracy : share of the images for which the match has the right category
    """

    curve: str
    x: float | str
    seed: int
    semantic_accuracy: float


class StudyReport(Report, frozen=True, kw_only=True):
    """Result of one of `benchmarks.studies`.

    Attributes
    ----------
    x_label : of the axis; empty if its positions are names
    """

    kind: Literal["study"] = "study"
    name: str
    x_label: str
    points: list[Point]


class QuantizationRow(msgspec.Struct, frozen=True):
    """Loss by quantization of the symbols that a codec makes of images.

    Attributes
    ----------
    clipping_rate : share of I and Q values at the largest or smallest code, 0..1
    evm_db : error power over signal power [dB]
    """

    codec: str
    num_symbols: int
    codes_format: str
    clipping_rate: float
    evm_db: float


class QuantizationReport(Report, frozen=True, kw_only=True):
    """Result of `benchmarks.quantization`."""

    kind: Literal["quantization"] = "quantization"
    rows: list[QuantizationRow]


class Int8Agreement(msgspec.Struct, frozen=True):
    """Agreement of int8 with fp32 on one set of images and one processor.

    Attributes
    ----------
    weights : what the largest int8 is in each output channel
    feature_cosine, feature_cosine_least : of features, mean and least
    symbol_cosine : of `nested-cells`' symbols, mean; None for an encoder without a codec
    same_nearest : share of the images whose nearest of other images, all in fp32, is fp32's
    same_features : share of the images whose features are, bit for bit, those on the machine itself
    """

    encoder: str
    weights: str
    images: str
    processor: str
    num_images: int
    feature_cosine: float
    feature_cosine_least: float
    symbol_cosine: float | None
    same_nearest: float
    same_features: float


class Int8Report(Report, frozen=True, kw_only=True):
    """Result of `benchmarks.int8_processors`; a stage is an encoder with fp32 or with a range of int8 weights."""

    kind: Literal["int8"] = "int8"
    rows: list[Int8Agreement]
