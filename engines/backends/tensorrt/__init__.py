"""Builds graphs into TensorRT engines and runs them."""
