"""Small image encoders: a torch network, and ONNX files of every layout that can be imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from trainer.encoders.export import EncoderNetwork

SIZE_PX, FEATURE_DIM = 8, 12


def toy_encoder(*, unit_norm: bool = True) -> EncoderNetwork:
    """A convolution and a linear layer with seeded weights: images of 16 x 16 to 20 features."""
    import torch
    from torch import nn

    from trainer.encoders.export import EncoderNetwork

    generator = torch.Generator().manual_seed(0)
    convolution, linear = nn.Conv2d(3, 64, 3), nn.Linear(64, 20)
    with torch.no_grad():
        for parameter in (*convolution.parameters(), *linear.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    network = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    return EncoderNetwork(
        name="toy",
        network=network,
        feature_dim=20,
        size_px=16,
        mean=(100.0, 110.0, 120.0),
        std=(50.0, 60.0, 70.0),
        licence="none",
        training_data="none",
        unit_norm=unit_norm,
    )


def projection(seed: int = 0) -> np.ndarray:
    """(3 SIZE_PX^2, FEATURE_DIM) float32, the weights of `write_image_graph`."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((3 * SIZE_PX**2, FEATURE_DIM)) / SIZE_PX).astype(np.float32)


def write_image_graph(
    path: Path,
    *,
    planar: bool = True,
    dtype: str = "float",
    batch: int | str = "batch",
    size_px: int | str = SIZE_PX,
    unit_norm: bool = False,
    fixed_reshape: bool = False,
    opset: int = 18,
    extra_output: bool = False,
    domain: str = "",
) -> Path:
    """Write a linear projection of an image's pixels as an ONNX file.

    Parameters
    ----------
    planar : whether the input is (batch, 3, size, size), or (batch, size, size, 3)
    dtype : "float" or "uint8"; a graph of uint8 subtracts 127 itself
    batch, size_px : axes of the input, fixed numbers or names
    unit_norm : whether the graph ends in L2 normalisation
    fixed_reshape : whether the number of images is a constant of the graph
    extra_output : whether the flat pixels are an output too
    domain : of the operator that multiplies
    """
    constants = {
        "flat": np.array([1 if fixed_reshape else -1, 3 * SIZE_PX**2], np.int64),
        "weight": projection(),
        "middle": np.float32(127.0),
        "axis": np.array([1], np.int64),
    }
    nodes = []
    pixels = "image"
    if dtype == "uint8":
        nodes += [helper.make_node("Cast", [pixels], ["floats"], to=TensorProto.FLOAT)]
        nodes += [helper.make_node("Sub", ["floats", "middle"], ["centred"])]
        pixels = "centred"
    nodes += [helper.make_node("Reshape", [pixels, "flat"], ["vector"])]
    nodes += [helper.make_node("MatMul", ["vector", "weight"], ["raw"], domain=domain)]
    if unit_norm:
        old: dict[str, Any] = {"axes": [1]} if opset < 18 else {}
        nodes += [helper.make_node("ReduceL2", ["raw"] if old else ["raw", "axis"], ["length"], keepdims=1, **old)]
        nodes += [helper.make_node("Div", ["raw", "length"], ["features"])]
    else:
        nodes += [helper.make_node("Identity", ["raw"], ["features"])]
    shape = [batch, 3, size_px, size_px] if planar else [batch, size_px, size_px, 3]
    element = TensorProto.FLOAT if dtype == "float" else TensorProto.UINT8
    inputs = [helper.make_tensor_value_info("image", element, shape)]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, FEATURE_DIM])]
    if extra_output:
        outputs.append(helper.make_tensor_value_info("vector", TensorProto.FLOAT, [batch, 3 * SIZE_PX**2]))
    used = {name for node in nodes for name in node.input}
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items() if key in used]
    graph = helper.make_graph(nodes, "projection", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path
