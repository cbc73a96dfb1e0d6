"""TensorRT on a real GPU gives what ONNX Runtime gives: `pytest -m gpu tests/gpu`."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from engines.backends.cuda_driver import probe_driver
from engines.backends.target import missing_for_tensorrt
from engines.backends.tensorrt.runner import TensorRtRunner
from engines.options import Precision
from engines.store import EngineStore
from semlink.errors import EngineError
from tests.support.gpu_transmitters import LEAST_COSINE, least_cosine, pictures, transmitter_graph


def _missing() -> str:
    """Why there is no TensorRT here; "" if there is."""
    packages = missing_for_tensorrt()
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

PICTURE = pictures()[0][None]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EngineStore:
    return EngineStore(tmp_path_factory.mktemp("engines"))


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("use_cuda_graph", [True, False])
def test_codes_are_those_of_onnx_runtime(store: EngineStore, precision: Precision, use_cuda_graph: bool) -> None:
    graph = transmitter_graph(precision)
    with TensorRtRunner(graph, store=store, precision=precision.value, use_cuda_graph=use_cuda_graph) as runner:
        assert least_cosine(runner) >= LEAST_COSINE[precision]
        assert runner.device_ms(PICTURE) > 0.0


def test_a_kept_engine_loads_and_gives_the_same(store: EngineStore) -> None:
    graph = transmitter_graph(Precision.FP32)
    with TensorRtRunner(graph, store=store) as first, TensorRtRunner(graph, store=store) as second:
        np.testing.assert_array_equal(first(PICTURE), second(PICTURE))


def test_from_another_thread_and_closed_there(store: EngineStore) -> None:
    runner = TensorRtRunner(transmitter_graph(Precision.FP32), store=store)
    expected, results = runner(PICTURE), []

    def use() -> None:
        results.append(runner(PICTURE))
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
        assert runner(PICTURE).any()
