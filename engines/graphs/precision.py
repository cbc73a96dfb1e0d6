"""The arithmetics that an image encoder can have; see `engines.graphs.quantize` for how."""

from __future__ import annotations

import enum

__all__ = ["Precision"]


class Precision(str, enum.Enum):
    """Arithmetic of the image encoder."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
