"""The transmitter's graphs without the image encoder, and the cost of a graph."""

from __future__ import annotations

import numpy as np
import onnx.parser

from benchmarks.graphs import BACKEND, DEVICE, codec_encoder, codec_graphs, graph_cost, unit_features
from engines.backends.runner import load_runner
from engines.graphs.nested import nested_encoder
from engines.models.codecs import NestedCodec
from engines.models.codewords import LATENT_DIM
from engines.models.model_set import ModelSet
from semlink.iq import normalize_power, pair_latent, quantize
from semlink.rates import parse_rate


def test_a_nested_code_is_computed_for_low_and_for_high_snr() -> None:
    """As the transmitter's graph does, of which one rate for low SNR is kept."""
    nested, rate, features = ModelSet.find("builtin").codec("nested-cells"), parse_rate("64"), unit_features()
    assert isinstance(nested, NestedCodec)
    latent = codec_encoder(nested, rate)(features)
    low_snr, high_snr = (
        load_runner(nested_encoder(code).SerializeToString(), backend=BACKEND, device=DEVICE)(features)
        for code in (nested.codebook, nested.codebook.for_high_snr())
    )
    np.testing.assert_allclose(latent, np.hstack([low_snr, high_snr]), atol=1e-6)
    assert latent.shape == (1, 2 * LATENT_DIM)
    expected = quantize(normalize_power(pair_latent(low_snr[:, : rate.latent_dim])))[0]
    assert np.abs(codec_graphs(nested, rate)(features).astype(int) - expected).max() <= 1


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
