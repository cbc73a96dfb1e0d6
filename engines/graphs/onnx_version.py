"""The ONNX that every graph of the link is written in."""

OPSET = 18
"""Operator set; TensorRT 10.3 and ONNX Runtime 1.23 both read it."""

IR_VERSION = 10
"""File version that ONNX Runtime 1.18 and TensorRT 10.3, and all that came later, read."""
