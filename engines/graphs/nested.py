"""The encoder of a nested code as a graph: `engines.models.codebook.Codebook.latent` in ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser

from engines.models.arrays import FloatArray
from engines.models.codebook import ENERGY_SCORE_SHARPNESS, Codebook, PowerShare
from engines.models.codewords import LATENT_DIM, num_repeats
from engines.onnx_model import IR_VERSION, OPSET
from semlink.errors import EngineError

__all__ = ["nested_encoder"]


def nested_encoder(codebook: Codebook, digital_power_shares: Sequence[PowerShare] = ()) -> onnx.ModelProto:
    """Features (batch, feature_dim) -> latent (batch, codes * LATENT_DIM), of which every rate sends a prefix.

    Parameters
    ----------
    digital_power_shares : power shares of the codeword; the latent holds one code of LATENT_DIM reals for each,
        in this order. Only the codebook's own share if empty, as for a code without cells

    Raises
    ------
    EngineError
        If a code without cells is to have power shares.
    """
    own = (codebook.digital_power_share,)
    shares = tuple(digital_power_shares) or own
    if not codebook.has_cells and shares != own:
        raise EngineError("a code without cells has no codewords to share the power with; leave out the power shares")
    tensors: dict[str, np.ndarray] = {"mean": codebook.mean, "projection": _exact(codebook.projection)}
    dim, width = codebook.feature_dim, len(shares) * LATENT_DIM
    constants = [
        "int64[1] one_image = {1}",
        f"int64[2] repeats = {{1, {num_repeats(codebook.code_dim)}}}",
        "int64[1] start = {0}",
        f"int64[1] end = {{{LATENT_DIM}}}",
        "float floor = {1.17549435e-38}",
        f"float scale = {{{codebook.analog_scale!r}}}",
    ]
    analog = _analog(codebook, constants)
    codes = _hybrid(codebook, shares, constants, tensors) if codebook.has_cells else "code_0 = Identity (analog)"
    repeated = "\n".join(_repeat(i) for i in range(len(shares)))
    latents = ", ".join(f"latent_{i}" for i in range(len(shares)))
    model = onnx.parser.parse_model(f"""
        <ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>
        nested_encoder (float[batch, {dim}] features) => (float[batch, {width}] latent)
        <{", ".join(constants)}>
        {{
            projection_fp32 = Cast <to = {onnx.TensorProto.FLOAT}> (projection)
            centred = Sub (features, mean)
            length = ReduceL2 <keepdims = 1> (centred, one_image)
            safe_length = Max (length, floor)
            direction = Div (centred, safe_length)
            projected = MatMul (direction, projection_fp32)
            {analog}
            {codes}
            {repeated}
            latent = Concat <axis = 1> ({latents})
        }}
    """)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in tensors.items())
    onnx.checker.check_model(model)
    return model


def _exact(values: FloatArray) -> np.ndarray:
    """In fp16 where that changes no number, as with a training set's codebook; 8-bit rows with scales need fp32."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return np.ascontiguousarray(half if np.array_equal(half, values) else values)


def _analog(codebook: Codebook, constants: list[str]) -> str:
    """The analog part, repeated if it has fewer reals than a codeword."""
    analog_dim = codebook.projection.shape[1]
    if analog_dim == codebook.code_dim:
        return "analog = Mul (projected, scale)"
    constants += [
        f"int64[2] analog_repeats = {{1, {num_repeats(analog_dim, codebook.code_dim)}}}",
        f"int64[1] code_dim = {{{codebook.code_dim}}}",
    ]
    return """
            scaled = Mul (projected, scale)
            repeated_analog = Tile (scaled, analog_repeats)
            analog = Slice (repeated_analog, start, code_dim, one_image)
    """


def _hybrid(
    codebook: Codebook, shares: Sequence[PowerShare], constants: list[str], tensors: dict[str, np.ndarray]
) -> str:
    """The codes of codewords and analog parts, one for each power share."""
    tensors |= {"centroids": _exact(codebook.centroids.T), "codewords": codebook.codewords}
    for i, share in enumerate(shares):
        tensors[f"digital_{i}"] = np.sqrt(np.asarray(share, np.float64)).astype(np.float32)
        tensors[f"analog_{i}"] = np.sqrt(1.0 - np.asarray(share, np.float64)).astype(np.float32)
    superposed = "\n".join(_superpose(codebook, i) for i in range(len(shares)))
    return f"""
            centroids_fp32 = Cast <to = {onnx.TensorProto.FLOAT}> (centroids)
            codewords_fp32 = Cast <to = {onnx.TensorProto.FLOAT}> (codewords)
            {_scores(codebook, tensors)}
            cell = ArgMax <axis = 1, keepdims = 0> (score)
            codeword = Gather <axis = 0> (codewords_fp32, cell)
            {_threshold(codebook, constants)}
            {superposed}
    """


def _scores(codebook: Codebook, tensors: dict[str, np.ndarray]) -> str:
    """The score of each cell."""
    point = "projected" if codebook.decides_by_projection else "direction"
    if codebook.offsets is None:
        return f"score = MatMul ({point}, centroids_fp32)"
    tensors["offsets"] = codebook.offsets
    return f"""
            similarity = MatMul ({point}, centroids_fp32)
            score = Add (similarity, offsets)
    """


def _threshold(codebook: Codebook, constants: list[str]) -> str:
    """Whether the codeword is sent, if that depends on the energy score."""
    if codebook.energy_score_threshold is None:
        return ""
    constants += [
        f"float sharpness = {{{ENERGY_SCORE_SHARPNESS}}}",
        f"float threshold = {{{codebook.energy_score_threshold!r}}}",
    ]
    return """
            sharp = Mul (score, sharpness)
            energy_score = ReduceLogSumExp <keepdims = 1> (sharp, one_image)
            sends_codeword = GreaterOrEqual (energy_score, threshold)
    """


def _superpose(codebook: Codebook, i: int) -> str:
    """The code with the power share number `i`."""
    if codebook.energy_score_threshold is None:
        return _sum_of_parts(i, "code")
    return f"""
            {_sum_of_parts(i, "hybrid")}
            code_{i} = Where (sends_codeword, hybrid_{i}, analog)
    """


def _sum_of_parts(i: int, name: str) -> str:
    return f"""
            digital_part_{i} = Mul (codeword, digital_{i})
            analog_part_{i} = Mul (analog, analog_{i})
            {name}_{i} = Add (digital_part_{i}, analog_part_{i})
    """


def _repeat(i: int) -> str:
    """Code number `i`, repeated until it has LATENT_DIM reals."""
    return f"""
            repeated_{i} = Tile (code_{i}, repeats)
            latent_{i} = Slice (repeated_{i}, start, end, one_image)
    """
