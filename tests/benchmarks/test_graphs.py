"""Cost of a graph."""

from __future__ import annotations

import onnx.parser

from benchmarks.graphs import graph_cost


def test_cost_of_a_graph() -> None:
    """By hand: 8 filters of 3 x 3 x 3 at 4 x 4 places, and a matrix of 128 x 10; each multiplied and added."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        network (float[batch, 3, 8, 8] pixels) => (float[batch, 10] y)
        <float[8, 3, 3, 3] filters = {{{", ".join(["0.1"] * 216)}}}, float[128, 10] w = {{{", ".join(["0.1"] * 1280)}}}>
        {{ maps = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (pixels, filters)
           active = Relu (maps)
           flat = Flatten (active)
           y = MatMul (flat, w) }}
    """)
    cost = graph_cost(model.SerializeToString())
    assert cost == {"bytes_moved": 4 * (216 + 1280), "operations": 2 * (216 * 16 + 1280)}
