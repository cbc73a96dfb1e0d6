"""Compose the transmitter's graphs into one: a picture in, I/Q codes out, one engine call.

    image --encoder--> features --codec encoder--> latent --pair, unit power, quantize--> codes

The last stage is `semlink.iq` written as ONNX operators; tests hold the two to the same code.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.compose
import onnx.parser

from semlink.errors import EngineError
from semlink.iq import FULL_SCALE, CodesFormat
from semlink.rates import Rate

__all__ = ["IR_VERSION", "OPSET", "compose_transmitter", "iq_head"]

OPSET = 18
"""ONNX operator set of every graph of the link; TensorRT 10.3 and ONNX Runtime 1.23 both read it."""

IR_VERSION = 10
"""ONNX file version that ONNX Runtime 1.18 and TensorRT 10.3, and all that came later, read."""
_CODES_TYPES = {CodesFormat.SC8: "int8", CodesFormat.SC16: "int16"}


def iq_head(rate: Rate, codes_format: CodesFormat = CodesFormat.SC8) -> onnx.ModelProto:
    """Build the graph from latent (batch, 2 n) float32 to codes (batch, n, 2) int8 or int16.

    Raises
    ------
    EngineError
        If the format is cf32, which has nothing to quantize.
    """
    if codes_format not in _CODES_TYPES:
        raise EngineError("cf32 is an interchange format; a transmitter's graph ends in sc8 or sc16")
    codes_type, limit, n = _CODES_TYPES[codes_format], codes_format.max_code, rate.num_symbols
    # The mean of a squared real is half the mean of |x|^2; the floor is normalize_power's.
    return onnx.parser.parse_model(f"""
        <ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>
        iq_head (float[batch, {2 * n}] latent) => ({codes_type}[batch, {n}, 2] codes)
        <int64[3] pairs_shape = {{-1, {n}, 2}}, int64[2] one_image = {{1, 2}}, float two = {{2.0}},
         float floor = {{1.1754943508222875e-38}}, float codes_per_unit = {{{limit / FULL_SCALE}}},
         float lowest = {{{-limit}.0}}, float highest = {{{limit}.0}}>
        {{
            pairs = Reshape (latent, pairs_shape)
            squares = Mul (pairs, pairs)
            half_power = ReduceMean <keepdims = 1> (squares, one_image)
            mean_power = Mul (half_power, two)
            power = Max (mean_power, floor)
            amplitude = Sqrt (power)
            symbols = Div (pairs, amplitude)
            scaled = Mul (symbols, codes_per_unit)
            rounded = Round (scaled)
            clipped = Clip (rounded, lowest, highest)
            codes = Cast <to = {onnx.TensorProto.INT8 if codes_type == "int8" else onnx.TensorProto.INT16}> (clipped)
        }}
    """)


def compose_transmitter(
    encoder: Path, codec_encoder: Path, rate: Rate, codes_format: CodesFormat = CodesFormat.SC8
) -> bytes:
    """Join encoder, codec and quantization into one graph.

    Parameters
    ----------
    encoder : graph from `image` (batch, size, size, 3) uint8 to `features`
    codec_encoder : graph from `features` to `latent` (batch, 2 n)
    rate : gives n
    codes_format : sc8 or sc16

    Returns
    -------
    graph : serialised ONNX model from `image` to `codes` (batch, n, 2)

    Raises
    ------
    EngineError
        If a file is no ONNX graph or the graphs do not fit together.
    """
    try:
        stages = [_load(encoder, "encoder/"), _load(codec_encoder, "codec/")]
        features = onnx.compose.merge_models(stages[0], stages[1], io_map=_join(stages[0], stages[1]))
        head = onnx.compose.add_prefix(iq_head(rate, codes_format), "iq/")
        graph = onnx.compose.merge_models(features, head, io_map=_join(features, head))
        _rename_ends(graph, image="image", codes="codes")
        onnx.checker.check_model(graph)
    except (ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EngineError(f"{encoder.name} and {codec_encoder.name} do not compose: {reason}") from None
    serialized: bytes = graph.SerializeToString()
    return serialized


def _load(path: Path, prefix: str) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
    except Exception as error:  # noqa: BLE001  protobuf's DecodeError has no public home; any failure means the same
        raise EngineError(f"{path}: not an ONNX graph: {type(error).__name__}") from None
    model.ir_version = IR_VERSION
    return onnx.compose.add_prefix(model, prefix)


def _join(first: onnx.ModelProto, second: onnx.ModelProto) -> list[tuple[str, str]]:
    for model, ends, kind in ((first, first.graph.output, "output"), (second, second.graph.input, "input")):
        if len(ends) != 1:
            raise ValueError(f"{model.graph.name} has {len(ends)} {kind}s, expected one")
    given, taken = first.graph.output[0], second.graph.input[0]
    # merge_models joins names and never looks at what flows; Reshape would then mix the images of a batch.
    if not _fits(given.type.tensor_type, taken.type.tensor_type):
        raise ValueError(f"{_describe(given)} is given where {_describe(taken)} is taken")
    return [(given.name, taken.name)]


def _axes(tensor: onnx.TypeProto.Tensor) -> list[int | None]:
    return [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]


def _fits(given: onnx.TypeProto.Tensor, taken: onnx.TypeProto.Tensor) -> bool:
    axes, wanted = _axes(given), _axes(taken)
    same_axes = all(a is None or b is None or a == b for a, b in zip(axes, wanted, strict=False))
    return given.elem_type == taken.elem_type and len(axes) == len(wanted) and same_axes


def _describe(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    axes = ", ".join("?" if axis is None else str(axis) for axis in _axes(tensor))
    return f"{value.name}: {onnx.TensorProto.DataType.Name(tensor.elem_type).lower()} ({axes})"


def _rename_ends(model: onnx.ModelProto, *, image: str, codes: str) -> None:
    names = {model.graph.input[0].name: image, model.graph.output[0].name: codes}
    model.graph.input[0].name, model.graph.output[0].name = image, codes
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
