"""TensorRT on a real GPU gives what ONNX Runtime gives: `pytest -m gpu tests/gpu`."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.codecs import NestedCodec
from engines.compose import compose_transmitter
from engines.cuda_driver import probe_driver
from engines.engine_store import EngineStore
from engines.modelset import ModelSet
from engines.nested_graph import nested_encoder
from engines.onnxruntime_runner import OnnxRuntimeRunner
from engines.precision import Precision
from engines.quantize import at_precision
from engines.tensorrt_runner import TensorRtRunner
from semlink.errors import EngineError

BUILTIN = Path(__file__).parents[2] / "engines" / "modelsets" / "builtin"
LEAST_COSINE = {Precision.FP32: 0.9999, Precision.FP16: 0.999}
"""Of codes with those of ONNX Runtime in single precision: rounding to int8 falls the other way now and then."""


def _missing() -> str:
    """Why there is no TensorRT here; "" if there is."""
    packages = [name for name in ("tensorrt", "pycuda") if importlib.util.find_spec(name) is None]
    if packages:
        return f"not installed: {', '.join(packages)}"
    try:
        probe_driver()
    except EngineError as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True, scope="module")
def needs_tensorrt() -> None:
    if reason := _missing():
        pytest.skip(reason)


pytestmark = [pytest.mark.gpu, pytest.mark.trt]


def transmitter_graph(precision: Precision) -> bytes:
    model_set = ModelSet(BUILTIN)
    codec = model_set.codec("nested")
    assert isinstance(codec, NestedCodec)
    encoder = at_precision(model_set.encoder_path, precision)
    return compose_transmitter([encoder, nested_encoder(codec.codebook)], codec.rates)


def pictures(runner: TensorRtRunner, count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 256, tuple(axis or 1 for axis in runner.input.shape), dtype=np.uint8)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EngineStore:
    return EngineStore(tmp_path_factory.mktemp("engines"))


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@pytest.mark.parametrize("use_cuda_graph", [True, False])
def test_codes_are_those_of_onnx_runtime(store: EngineStore, precision: Precision, use_cuda_graph: bool) -> None:
    reference = OnnxRuntimeRunner(transmitter_graph(Precision.FP32))
    graph = transmitter_graph(precision)
    with TensorRtRunner(graph, store=store, precision=precision.value, use_cuda_graph=use_cuda_graph) as runner:
        for picture in pictures(runner, 8):
            codes, expected = (run(picture).astype(np.float64).ravel() for run in (runner, reference))
            cosine = codes @ expected / np.linalg.norm(codes) / np.linalg.norm(expected)
            assert cosine >= LEAST_COSINE[precision]
            assert runner.device_ms(picture) > 0.0


def test_a_kept_engine_loads_and_gives_the_same(store: EngineStore) -> None:
    graph = transmitter_graph(Precision.FP32)
    with TensorRtRunner(graph, store=store) as first, TensorRtRunner(graph, store=store) as second:
        for picture in pictures(first, 2):
            np.testing.assert_array_equal(first(picture), second(picture))


def test_from_another_thread_and_closed_there(store: EngineStore) -> None:
    runner = TensorRtRunner(transmitter_graph(Precision.FP32), store=store)
    (picture,) = pictures(runner, 1)
    expected, results = runner(picture), []

    def use() -> None:
        results.append(runner(picture))
        runner.close()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    np.testing.assert_array_equal(results[0], expected)


def test_an_engine_cut_short_is_built_anew(store: EngineStore) -> None:
    graph = transmitter_graph(Precision.FP32)
    TensorRtRunner(graph, store=store).close()
    (kept, *_) = store.folder.glob("tensorrt-fp32-*.engine")
    kept.write_bytes(kept.read_bytes()[:1000])
    with TensorRtRunner(graph, store=store) as runner:
        for picture in pictures(runner, 1):
            assert runner(picture).any()
