"""The encoder of a nested code as a graph: `engines.models.codebook.Codebook.latent` in ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser

from engines.models.codebook import ENERGY_SCORE_SHARPNESS, LATENT_DIM, Codebook, num_repeats
from engines.onnx_model import IR_VERSION, OPSET

__all__ = ["nested_encoder"]


def nested_encoder(codebook: Codebook, digital_power_shares: Sequence[float] = ()) -> onnx.ModelProto:
    """Features (batch, feature_dim) -> latent (batch, codes * LATENT_DIM), of which every rate sends a prefix.

    Parameters
    ----------
    digital_power_shares : power shares of the codeword; the latent holds one code of LATENT_DIM reals for each,
        in this order. Only the codebook's own share if empty
    """
    shares = tuple(digital_power_shares) or (codebook.digital_power_share,)
    tensors: dict[str, np.ndarray] = {
        "mean": codebook.mean,
        "projection": codebook.projection.astype(np.float16),
        "centroids": np.ascontiguousarray(codebook.centroids.T.astype(np.float16)),
        "codewords": codebook.codewords,
    }
    dim, width = codebook.feature_dim, len(shares) * LATENT_DIM
    amplitudes = ", ".join(
        f"float digital_{i} = {{{share**0.5!r}}}, float analog_{i} = {{{(1.0 - share) ** 0.5!r}}}"
        for i, share in enumerate(shares)
    )
    superposed = "\n".join(
        f"""
            digital_part_{i} = Mul (codeword, digital_{i})
            analog_part_{i} = Mul (analog, analog_{i})
            hybrid_{i} = Add (digital_part_{i}, analog_part_{i})
            code_{i} = Where (sends_codeword, hybrid_{i}, analog)
            repeated_{i} = Tile (code_{i}, repeats)
            latent_{i} = Slice (repeated_{i}, start, end, one_image)
        """
        for i in range(len(shares))
    )
    latents = ", ".join(f"latent_{i}" for i in range(len(shares)))
    model = onnx.parser.parse_model(f"""
        <ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>
        nested_encoder (float[batch, {dim}] features) => (float[batch, {width}] latent)
        <int64[1] one_image = {{1}}, int64[2] repeats = {{1, {num_repeats(dim)}}},
         int64[1] start = {{0}}, int64[1] end = {{{LATENT_DIM}}}, float floor = {{1.17549435e-38}},
         float sharpness = {{{ENERGY_SCORE_SHARPNESS}}}, float threshold = {{{codebook.energy_score_threshold!r}}},
         float scale = {{{codebook.analog_scale!r}}}, {amplitudes}>
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
            sharp = Mul (similarity, sharpness)
            energy_score = ReduceLogSumExp <keepdims = 1> (sharp, one_image)
            sends_codeword = GreaterOrEqual (energy_score, threshold)
            {superposed}
            latent = Concat <axis = 1> ({latents})
        }}
    """)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in tensors.items())
    onnx.checker.check_model(model)
    return model
