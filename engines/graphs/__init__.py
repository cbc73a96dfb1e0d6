"""ONNX graphs: composed from a model set's parts, and rewritten to other arithmetic."""
