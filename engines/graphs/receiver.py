"""The receiver of a codec with a decoder network as one graph: from I/Q codes to a query of unit length.

    codes --dequantize, turn back by the pilots' phase, unpair--> latent --decoder--> query --unit length--> query

The first stage is `semlink.iq.dequantize` and `edge_rx.equalizer.equalize_phase` as ONNX operators; tests hold both
to the same query. The gain estimate is a sum over pilot positions, so positions of pilots that were not sent stay zero
and one graph serves every number of pilots up to its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import onnx.parser

from engines.graphs.compose import Stage, compose, with_batch
from engines.onnx_model import IR_VERSION, OPSET
from semlink.channel import pilot_symbols
from semlink.iq import FULL_SCALE, CodesFormat, unpair_symbols
from semlink.rates import Rate

__all__ = ["compose_receiver"]

_TYPES = {CodesFormat.SC8: "int8", CodesFormat.SC16: "int16", CodesFormat.CF32: "float"}


def compose_receiver(
    decoder: Stage,
    rate: Rate,
    *,
    feature_dim: int,
    num_pilots: int,
    codes_format: CodesFormat = CodesFormat.SC8,
    batch: int | None = None,
) -> bytes:
    """Join dequantization, equalising and a decoder network into one graph.

    Parameters
    ----------
    decoder : graph from received latent (batch, 2 n) to query (batch, feature_dim)
    rate : whose n it is
    num_pilots : pilot positions before the data; positions behind the pilots that were sent must be zero
    codes_format : of the codes; cf32 takes symbols as pairs of reals
    batch : the batch size of engines that have a fixed one; None for any

    Returns
    -------
    graph : serialised ONNX model from `codes` (batch, num_pilots + n, 2) to `query` (batch, feature_dim) float32, of
        unit length; NaN where the decoder's output is zero

    Raises
    ------
    EngineError
        If the file is no ONNX graph, or not one of this rate and width.
    """
    composed = compose(
        [_latent_of_codes(rate, num_pilots, codes_format), decoder, _unit_length(feature_dim)],
        input_name="codes",
        output_name="query",
    )
    return composed if batch is None else with_batch(composed, batch)


def _latent_of_codes(rate: Rate, num_pilots: int, codes_format: CodesFormat) -> onnx.ModelProto:
    """Codes (batch, num_pilots + n, 2) -> received latent (batch, 2 n)."""
    num_codes = num_pilots + rate.num_symbols
    head = onnx.parser.parse_model(f"""
        <ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>
        equalizer ({_TYPES[codes_format]}[batch, {num_codes}, 2] codes) => (float[batch, {rate.latent_dim}] latent)
        <int64[2] latent_shape = {{-1, {rate.latent_dim}}}>
        {{
            {_dequantized(codes_format)}
            {_turned(num_pilots, num_codes) if num_pilots else "data = Identity (symbols)"}
            latent = Reshape (data, latent_shape)
        }}
    """)
    if num_pilots:
        head.graph.initializer.append(onnx.numpy_helper.from_array(_correlator(num_pilots), "correlator"))
    return head


def _dequantized(codes_format: CodesFormat) -> str:
    if codes_format is CodesFormat.CF32:
        return "symbols = Identity (codes)"
    scale = f"scale = Constant <value_float = {FULL_SCALE / codes_format.max_code!r}> ()"
    if codes_format is CodesFormat.SC8:
        # TensorRT takes int8 only as a quantized tensor; ONNX Runtime takes one without a zero point for unsigned.
        return f"""{scale}
            zero_code = Constant <value = int8 {{0}}> ()
            symbols = DequantizeLinear (codes, scale, zero_code)"""
    return f"""{scale}
            reals = Cast <to = {onnx.TensorProto.FLOAT}> (codes)
            symbols = Mul (reals, scale)"""


def _turned(num_pilots: int, num_codes: int) -> str:
    """y conj(h) / |h| of each image: (I, Q) times a rotation, which is the identity without pilots."""
    return f"""
            start = Constant <value_ints = [0]> ()
            first_of_data = Constant <value_ints = [{num_pilots}]> ()
            end = Constant <value_ints = [{num_codes}]> ()
            of_image = Constant <value_ints = [1]> ()
            pilots_shape = Constant <value_ints = [-1, {2 * num_pilots}]> ()
            pilots = Slice (symbols, start, first_of_data, of_image)
            received = Slice (symbols, first_of_data, end, of_image)
            pilot_reals = Reshape (pilots, pilots_shape)
            gain = MatMul (pilot_reals, correlator)
            magnitude = ReduceL2 <keepdims = 1> (gain, of_image)
            zero = Constant <value_float = 0.0> ()
            floor = Constant <value_float = 1.17549435e-38> ()
            no_turn = Constant <value_floats = [1.0, 0.0]> ()
            has_pilots = Greater (magnitude, zero)
            safe_magnitude = Max (magnitude, floor)
            phase = Div (gain, safe_magnitude)
            turn = Where (has_pilots, phase, no_turn)
            rotation_indices = Constant <value_ints = [0, 1, 1, 0]> ()
            signs = Constant <value_floats = [1.0, -1.0, 1.0, 1.0]> ()
            rotation_shape = Constant <value_ints = [-1, 2, 2]> ()
            turn_reals = Gather <axis = 1> (turn, rotation_indices)
            signed_turn = Mul (turn_reals, signs)
            rotation = Reshape (signed_turn, rotation_shape)
            data = MatMul (received, rotation)"""


def _correlator(num_pilots: int) -> npt.NDArray[np.float32]:
    """(2 p, 2): times the pilots' I and Q, the real and imaginary part of the mean of r conj(p)."""
    pilots = unpair_symbols(pilot_symbols(num_pilots)).reshape(-1, 2)
    columns = np.stack([pilots, np.stack([-pilots[:, 1], pilots[:, 0]], axis=1)], axis=-1)
    return np.asarray(columns.reshape(2 * num_pilots, 2) / num_pilots, dtype=np.float32)


def _unit_length(feature_dim: int) -> onnx.ModelProto:
    """Divide by the length; a zero vector becomes NaN."""
    return onnx.parser.parse_model(f"""
        <ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>
        unit_length (float[batch, {feature_dim}] vector) => (float[batch, {feature_dim}] query)
        <int64[1] of_image = {{1}}>
        {{
            length = ReduceL2 <keepdims = 1> (vector, of_image)
            query = Div (vector, length)
        }}
    """)
