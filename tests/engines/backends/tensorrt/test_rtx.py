"""Our graphs through TensorRT's own parser and builder, on a CPU: `make tensorrt-rtx`.

TensorRT-RTX is the one TensorRT that builds without a driver; it cannot run there what it has built.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from engines.backends.tensorrt.builder import build_engine
from engines.graphs.compose import compose_transmitter
from engines.graphs.nested import nested_encoder
from engines.graphs.quantize import Int8Style, at_precision
from engines.graphs.receiver import compose_receiver
from engines.models.codecs import NestedCodec, PerRateCodec
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.errors import EngineError
from semlink.frame import MAX_PILOTS
from semlink.iq import CodesFormat

pytestmark = [
    pytest.mark.trt,
    pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="no tensorrt_rtx: make tensorrt-rtx"),
]
BUILTIN = Path(__file__).parents[4] / "engines" / "modelsets" / "builtin"


@pytest.fixture(scope="module")
def rtx() -> ModuleType:
    return importlib.import_module("tensorrt_rtx")


@pytest.fixture(scope="module")
def builtin() -> ModelSet:
    return ModelSet(BUILTIN)


def nested(model_set: ModelSet, name: str = "nested") -> NestedCodec:
    codec = model_set.codec(name)
    assert isinstance(codec, NestedCodec)
    return codec


@pytest.mark.parametrize("precision", list(Precision))
def test_the_transmitters_graph_builds(rtx: ModuleType, builtin: ModelSet, precision: Precision) -> None:
    size = builtin.manifest.encoder.preprocessing.size_px
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(32)]
    encoder = at_precision(builtin.encoder_path, precision, style=Int8Style.SYMMETRIC, pictures=pictures)
    codec = nested(builtin)
    graph = compose_transmitter([encoder, nested_encoder(codec.codebook)], codec.rates)
    observation: list[float] = []
    engine = build_engine(graph, tensorrt=rtx, on_progress=lambda _, fraction: observation.append(fraction))
    assert len(engine) > 1_000_000
    assert min(observation) == 0.0
    assert max(observation) == 1.0


@pytest.mark.parametrize("codec", ["nested", "nested-cells"])
def test_the_nested_encoder_builds(rtx: ModuleType, builtin: ModelSet, codec: str) -> None:
    assert build_engine(nested_encoder(nested(builtin, codec).codebook).SerializeToString(), tensorrt=rtx)


def test_graphs_of_every_per_rate_codec_build(rtx: ModuleType, builtin: ModelSet) -> None:
    for codec in builtin.codecs:
        if not isinstance(codec, NestedCodec):
            for rate in codec.rates:
                for path in (codec.encoder_path(rate), codec.decoder_path(rate)):
                    assert build_engine(path.read_bytes(), tensorrt=rtx), path


@pytest.mark.parametrize("codes_format", [CodesFormat.SC8, CodesFormat.CF32])
@pytest.mark.parametrize(("num_pilots", "batch"), [(0, None), (8, None), (MAX_PILOTS, 16)])
def test_the_receivers_graph_builds(
    rtx: ModuleType, builtin: ModelSet, codes_format: CodesFormat, num_pilots: int, batch: int | None
) -> None:
    codec = builtin.codec("kbsc")
    assert isinstance(codec, PerRateCodec)
    rate = codec.rates[0]
    graph = compose_receiver(
        codec.decoder_path(rate),
        rate,
        feature_dim=builtin.feature_dim,
        num_pilots=num_pilots,
        codes_format=codes_format,
        batch=batch,
    )
    assert build_engine(graph, tensorrt=rtx)


def test_an_unknown_operator_is_named(rtx: ModuleType) -> None:
    graph = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (float[batch, 4] x) => (float[batch, 4] y) { y = Det2 (x) }'
    )
    graph.graph.node[0].name = "strange"
    with pytest.raises(EngineError, match=r"^TensorRT cannot parse the graph: Det2 strange: ") as caught:
        build_engine(graph.SerializeToString(), tensorrt=rtx)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_graph(rtx: ModuleType) -> None:
    with pytest.raises(EngineError, match="not an ONNX graph"):
        build_engine(b"\xff\xff", tensorrt=rtx)


def test_an_interrupted_build_stops(rtx: ModuleType, builtin: ModelSet) -> None:
    def interrupt(phase: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(nested_encoder(nested(builtin).codebook).SerializeToString(), tensorrt=rtx, on_progress=interrupt)
