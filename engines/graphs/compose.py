"""Compose graphs into one; a composed transmitter maps an image to I/Q codes in one engine call.

    image --encoder--> features --codec encoder--> latent --pair, unit power, quantize--> codes of every rate

The last stage is `semlink.iq` written as ONNX operators; tests hold the two to the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
import onnx.compose
import onnx.numpy_helper
import onnx.parser

from engines.onnx_model import IR_VERSION, OPSET, load_onnx
from semlink.errors import EngineError
from semlink.iq import FULL_SCALE, CodesFormat
from semlink.rates import Rate

__all__ = ["Stage", "compose", "compose_features", "compose_transmitter", "iq_head", "with_batch"]

Stage: TypeAlias = Path | onnx.ModelProto
"""A stage of a composition: an ONNX file, or a model in memory."""

_CODES_TYPES = {CodesFormat.SC8: "int8", CodesFormat.SC16: "int16"}


def iq_head(
    rates: Sequence[Rate], codes_format: CodesFormat = CodesFormat.SC8, *, num_codes: int = 1
) -> onnx.ModelProto:
    """Build the graph from latent to the codes of every rate, each from a prefix of the latent.

    latent (batch, 2 n) float32, n of the longest rate, to codes (batch, sum of n, 2) int8 or int16: one
    rate after another, in the given order, each normalised to unit power by itself. For a latent that holds several
    codes one behind the other, the codes of all rates of the first precede those of the second.

    Raises
    ------
    EngineError
        If the format is cf32, which has nothing to quantize.
    """
    if codes_format not in _CODES_TYPES:
        raise EngineError("cf32 is an interchange format; a transmitter's graph ends in sc8 or sc16")
    codes_type, limit = _CODES_TYPES[codes_format], codes_format.max_code
    longest, total = max(rate.latent_dim for rate in rates), num_codes * sum(rate.num_symbols for rate in rates)
    prefixes = [(code * longest, code * longest + rate.latent_dim) for code in range(num_codes) for rate in rates]
    indices = np.concatenate([np.arange(start, end) for start, end in prefixes])
    owners = np.repeat(np.arange(len(prefixes)), [end - start for start, end in prefixes])
    # The mean of a squared real is half the mean of |x|^2.
    powers = "\n".join(
        f"start_{i} = Constant <value_ints = [{start}]> ()\n"
        f"end_{i} = Constant <value_ints = [{end}]> ()\n"
        f"prefix_{i} = Slice (squares, start_{i}, end_{i}, one_image)\n"
        f"half_power_{i} = ReduceMean <keepdims = 1> (prefix_{i}, one_image)"
        for i, (start, end) in enumerate(prefixes)
    )
    half_powers = ", ".join(f"half_power_{i}" for i in range(len(prefixes)))
    head = onnx.parser.parse_model(f"""
        <ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>
        iq_head (float[batch, {num_codes * longest}] latent) => ({codes_type}[batch, {total}, 2] codes)
        <int64[3] pairs_shape = {{-1, {total}, 2}}, int64[1] one_image = {{1}},
         float two = {{2.0}}, float floor = {{1.1754943508222875e-38}},
         float codes_per_unit = {{{limit / FULL_SCALE}}},
         float lowest = {{{-limit}.0}}, float highest = {{{limit}.0}}>
        {{
            squares = Mul (latent, latent)
            {powers}
            half_power = Concat <axis = 1> ({half_powers})
            mean_power = Mul (half_power, two)
            power = Max (mean_power, floor)
            amplitude = Sqrt (power)
            reals = Gather <axis = 1> (latent, indices)
            amplitudes = Gather <axis = 1> (amplitude, owners)
            normal = Div (reals, amplitudes)
            scaled = Mul (normal, codes_per_unit)
            rounded = Round (scaled)
            clipped = Clip (rounded, lowest, highest)
            integers = Cast <to = {onnx.TensorProto.INT8 if codes_type == "int8" else onnx.TensorProto.INT16}> (clipped)
            codes = Reshape (integers, pairs_shape)
        }}
    """)
    for name, values in (("indices", indices), ("owners", owners)):
        head.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.int64), name))
    return head


def compose_features(stages: Sequence[Stage]) -> bytes:
    """Join an image encoder and the graphs behind it, such as a projection head.

    Parameters
    ----------
    stages : graphs in order, the output of each being the input of the next; the first one reads images

    Returns
    -------
    graph : serialised ONNX model from `image` to `vectors` (batch, dim) float32
    """
    return compose(stages, input_name="image", output_name="vectors")


def compose_transmitter(
    stages: Sequence[Stage], rates: Sequence[Rate], codes_format: CodesFormat = CodesFormat.SC8, *, num_codes: int = 1
) -> bytes:
    """Join encoder, codec and quantization into one graph.

    Parameters
    ----------
    stages : from `image` (batch, size, size, 3) uint8 to `features`, to `latent` (batch, 2 n), n of the longest
        rate; with a projection head between the two, where the codec has one
    rates : rates whose codes are output
    codes_format : sc8 or sc16
    num_codes : how many codes the latent holds

    Returns
    -------
    graph : serialised ONNX model from `image` to `codes` (batch, sum of n, 2), see `iq_head`

    Raises
    ------
    EngineError
        If a file is no ONNX graph or the graphs do not fit together.
    """
    return compose(
        [*stages, iq_head(rates, codes_format, num_codes=num_codes)], input_name="image", output_name="codes"
    )


def compose(stages: Sequence[Stage], *, input_name: str, output_name: str) -> bytes:
    """Join graphs of one input and one output, the output of each being the input of the next.

    Parameters
    ----------
    input_name, output_name : names of the input and the output of the whole

    Raises
    ------
    EngineError
        If a file is no ONNX graph or the graphs do not fit together.
    """
    models = [_load(stage) for stage in stages]
    names = " and ".join(stage.name for stage in stages if isinstance(stage, Path))
    try:
        whole, *rest = (onnx.compose.add_prefix(model, f"{model.graph.name}/") for model in models)
        for model in rest:
            whole = onnx.compose.merge_models(whole, model, io_map=_join(whole, model))
        _rename_ends(whole, input_name=input_name, output_name=output_name)
        onnx.checker.check_model(whole)
    except (ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EngineError(f"{names} do not compose: {reason}") from None
    serialized: bytes = whole.SerializeToString()
    return serialized


def with_batch(graph: bytes, batch: int) -> bytes:
    """Fix the batch axis of a graph's input and output, for engines that are built for one shape."""
    model = load_onnx(graph)
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_value = batch
    serialized: bytes = model.SerializeToString()
    return serialized


def _load(stage: Stage) -> onnx.ModelProto:
    if isinstance(stage, onnx.ModelProto):
        return stage
    model = load_onnx(stage)
    model.ir_version = IR_VERSION
    # Prefixes keep the names of joined graphs apart.
    model.graph.name = stage.name.removesuffix(".onnx")
    return model


def _join(first: onnx.ModelProto, second: onnx.ModelProto) -> list[tuple[str, str]]:
    for model, ends, kind in ((first, first.graph.output, "output"), (second, second.graph.input, "input")):
        if len(ends) != 1:
            raise ValueError(f"{model.graph.name} has {len(ends)} {kind}s, expected one")
    source, target = first.graph.output[0], second.graph.input[0]
    # merge_models joins by name and compares neither types nor shapes; Reshape could then mix the images of a batch.
    if not _fits(source.type.tensor_type, target.type.tensor_type):
        raise ValueError(f"the output {_describe(source)} does not fit the input {_describe(target)}")
    return [(source.name, target.name)]


def _axes(tensor: onnx.TypeProto.Tensor) -> list[int | None]:
    return [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]


def _fits(source: onnx.TypeProto.Tensor, target: onnx.TypeProto.Tensor) -> bool:
    axes, wanted = _axes(source), _axes(target)
    same_axes = all(a is None or b is None or a == b for a, b in zip(axes, wanted, strict=False))
    return source.elem_type == target.elem_type and len(axes) == len(wanted) and same_axes


def _describe(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    axes = ", ".join("?" if axis is None else str(axis) for axis in _axes(tensor))
    return f"{value.name}: {onnx.TensorProto.DataType.Name(tensor.elem_type).lower()} ({axes})"


def _rename_ends(model: onnx.ModelProto, *, input_name: str, output_name: str) -> None:
    names = {model.graph.input[0].name: input_name, model.graph.output[0].name: output_name}
    model.graph.input[0].name, model.graph.output[0].name = input_name, output_name
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
