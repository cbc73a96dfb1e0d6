"""The receiver's graph against its parts: `semlink.iq`, `edge_rx.equalizer` and the decoder network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_rx.equalizer import equalize_phase
from engines.backends.onnxruntime.cpu import OnnxRuntimeRunner
from engines.graphs.receiver import compose_receiver
from engines.models.codecs import PerRateCodec
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel, apply_channel, complex_normal, pilot_symbols
from semlink.errors import EngineError
from semlink.iq import CodesFormat, IQCodes, dequantize, normalize_power, quantize, unpair_symbols
from semlink.rates import parse_rate

RATE = parse_rate("16")
DIM = 16
BATCH = 5
TOLERANCE = 1e-5
"""Of unit queries: the same sums in another order."""


@pytest.fixture(scope="module")
def codec(model_set: ModelSet) -> PerRateCodec:
    codec = model_set.codec()
    assert isinstance(codec, PerRateCodec)
    return codec


def received_codes(num_pilots: int, codes_format: CodesFormat) -> IQCodes:
    """A batch over Rayleigh channels, of which each image has its own."""
    rng = np.random.default_rng(num_pilots)
    data = normalize_power(complex_normal((BATCH, RATE.num_symbols), rng))
    sent = np.concatenate([np.tile(pilot_symbols(num_pilots), (BATCH, 1)), data], axis=1)
    observation = [apply_channel(row, ChannelModel.RAYLEIGH, snr_db=15.0, rng=rng).symbols for row in sent]
    return quantize(np.stack(observation), codes_format)


def reference(codec: PerRateCodec, codes: IQCodes, num_pilots: int, codes_format: CodesFormat) -> np.ndarray:
    """The way of `edge_rx.decoders.base.GraphDecoder`, and the unit length that its search divides by."""
    query = codec.load_decoder(RATE)(
        unpair_symbols(equalize_phase(dequantize(codes, codes_format), num_pilots=num_pilots))
    )
    return query / np.linalg.norm(query, axis=1, keepdims=True)


def runner(codec: PerRateCodec, num_pilots: int, codes_format: CodesFormat = CodesFormat.SC8) -> OnnxRuntimeRunner:
    decoder = codec.decoder_path(RATE)
    return OnnxRuntimeRunner(
        compose_receiver(decoder, RATE, feature_dim=DIM, num_pilots=num_pilots, codes_format=codes_format)
    )


@pytest.mark.parametrize("codes_format", list(CodesFormat))
@pytest.mark.parametrize("num_pilots", [0, 1, 8])
def test_queries_are_those_of_the_parts(codec: PerRateCodec, num_pilots: int, codes_format: CodesFormat) -> None:
    graph, codes = runner(codec, num_pilots, codes_format), received_codes(num_pilots, codes_format)
    assert (graph.input.name, graph.input.dtype, graph.output.name) == ("codes", codes_format.dtype, "query")
    expected = reference(codec, codes, num_pilots, codes_format)
    np.testing.assert_allclose(graph(codes), expected, atol=TOLERANCE)
    np.testing.assert_allclose(graph(codes[:1]), expected[:1], atol=TOLERANCE)


@pytest.mark.parametrize("num_pilots", [0, 1, 8])
def test_places_of_pilots_that_were_not_sent_change_nothing(codec: PerRateCodec, num_pilots: int) -> None:
    codes = received_codes(num_pilots, CodesFormat.SC8)
    silent = np.zeros((BATCH, 32 - num_pilots, 2), np.int8)
    padded = np.concatenate([codes[:, :num_pilots], silent, codes[:, num_pilots:]], axis=1)
    expected = reference(codec, codes, num_pilots, CodesFormat.SC8)
    np.testing.assert_allclose(runner(codec, 32)(padded), expected, atol=TOLERANCE)


@pytest.mark.parametrize("num_pilots", [0, 8])
def test_what_has_no_direction_is_not_a_number_and_harms_no_other(codec: PerRateCodec, num_pilots: int) -> None:
    codes = received_codes(num_pilots, CodesFormat.SC8)
    codes[2] = 0
    query = runner(codec, num_pilots)(codes)
    assert np.isnan(query[2]).all()
    np.testing.assert_allclose(np.linalg.norm(np.delete(query, 2, axis=0), axis=1), 1.0, rtol=1e-5)


def test_a_graph_for_one_batch_size(codec: PerRateCodec) -> None:
    decoder, codes = codec.decoder_path(RATE), received_codes(4, CodesFormat.SC8)
    fixed = OnnxRuntimeRunner(compose_receiver(decoder, RATE, feature_dim=DIM, num_pilots=4, batch=BATCH))
    assert (fixed.input.shape[0], fixed.output.shape) == (BATCH, (BATCH, DIM))
    np.testing.assert_array_equal(fixed(codes), runner(codec, 4)(codes))
    with pytest.raises(EngineError, match=rf"input expects codes: int8 \({BATCH}, 20, 2\)"):
        fixed(codes[:1])


def test_a_decoder_of_another_rate_is_refused(codec: PerRateCodec) -> None:
    decoder = codec.decoder_path(parse_rate("64"))
    with pytest.raises(
        EngineError,
        match=r"do not compose: the output equalizer/latent: float \(\?, 32\) does not fit the input .* \(\?, 128\)",
    ):
        compose_receiver(decoder, RATE, feature_dim=DIM, num_pilots=0)


def test_no_decoder_at_all(tmp_path: Path) -> None:
    (tmp_path / "decoder.onnx").write_bytes(b"\xff")
    with pytest.raises(EngineError, match="not an ONNX graph"):
        compose_receiver(tmp_path / "decoder.onnx", RATE, feature_dim=DIM, num_pilots=0)


@pytest.mark.parametrize("codes_format", list(CodesFormat))
def test_every_tensor_has_a_use(codec: PerRateCodec, codes_format: CodesFormat) -> None:
    for num_pilots in (0, 8):
        serialized = compose_receiver(
            codec.decoder_path(RATE), RATE, feature_dim=DIM, num_pilots=num_pilots, codes_format=codes_format
        )
        graph = onnx.load_from_string(serialized).graph
        used = {name for node in graph.node for name in node.input}
        assert {tensor.name for tensor in graph.initializer} <= used
