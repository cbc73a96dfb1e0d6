"""The transmitter's half of a nested code as a graph: `engines.codebook.Codebook.latent` in ONNX operators."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser

from engines.codebook import FAMILIARITY_SHARPNESS, LATENT_DIM, Codebook, num_repeats
from engines.onnx_version import IR_VERSION, OPSET

__all__ = ["nested_encoder"]


def nested_encoder(codebook: Codebook) -> onnx.ModelProto:
    """Features (batch, feature_dim) -> latent (batch, LATENT_DIM), of which every rate takes a prefix."""
    tensors: dict[str, np.ndarray] = {
        "mean": codebook.mean,
        "projection": codebook.projection.astype(np.float16),
        "centroids": np.ascontiguousarray(codebook.centroids.T.astype(np.float16)),
        "codewords": codebook.codewords,
    }
    share, dim = codebook.coarse_share, codebook.feature_dim
    model = onnx.parser.parse_model(f"""
        <ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>
        nested_encoder (float[batch, {dim}] features) => (float[batch, {LATENT_DIM}] latent)
        <int64[1] one_image = {{1}}, int64[2] repeats = {{1, {num_repeats(dim)}}},
         int64[1] start = {{0}}, int64[1] end = {{{LATENT_DIM}}}, float floor = {{1.17549435e-38}},
         float sharpness = {{{FAMILIARITY_SHARPNESS}}}, float threshold = {{{codebook.familiarity_threshold!r}}},
         float scale = {{{codebook.analog_scale!r}}},
         float coarse_amplitude = {{{share**0.5!r}}}, float analog_amplitude = {{{(1.0 - share) ** 0.5!r}}}>
        {{
            projection_fp32 = Cast <to = {onnx.TensorProto.FLOAT}> (projection)
            centroids_fp32 = Cast <to = {onnx.TensorProto.FLOAT}> (centroids)
            codewords_fp32 = Cast <to = {onnx.TensorProto.FLOAT}> (codewords)
            centred = Sub (features, mean)
            length = ReduceL2 <keepdims = 1> (centred, one_image)
            safe_length = Max (length, floor)
            direction = Div (centred, safe_length)
            projected = MatMul (direction, projection_fp32)
            analog = Mul (projected, scale)
            similarity = MatMul (direction, centroids_fp32)
            cell = ArgMax <axis = 1, keepdims = 0> (similarity)
            codeword = Gather <axis = 0> (codewords_fp32, cell)
            strong = Mul (codeword, coarse_amplitude)
            weak = Mul (analog, analog_amplitude)
            coarse = Add (strong, weak)
            sharp = Mul (similarity, sharpness)
            familiarity = ReduceLogSumExp <keepdims = 1> (sharp, one_image)
            is_familiar = GreaterOrEqual (familiarity, threshold)
            code = Where (is_familiar, coarse, analog)
            repeated = Tile (code, repeats)
            latent = Slice (repeated, start, end, one_image)
        }}
    """)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in tensors.items())
    onnx.checker.check_model(model)
    return model
