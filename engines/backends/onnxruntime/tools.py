"""ONNX Runtime's tools that rewrite graphs: the quantizer and the converter to half precision. A second to import."""

from __future__ import annotations

import onnxruntime
from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.onnx_model import ONNXModel as QuantizerModel
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

__all__ = [
    "VERSION",
    "CalibrationMethod",
    "OnnxModel",
    "QuantFormat",
    "QuantType",
    "QuantizerModel",
    "convert_float_to_float16",
    "quant_pre_process",
    "quantize_dynamic",
    "quantize_static",
]

VERSION: str = onnxruntime.__version__
