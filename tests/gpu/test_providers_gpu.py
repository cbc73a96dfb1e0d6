"""ONNX Runtime on a real GPU gives what it gives on the CPU: `pytest -m gpu tests/gpu`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import pytest

from engines.backends.onnxruntime.providers import CUDA, TENSORRT, require_provider
from engines.backends.runner import GraphRunner, load_runner
from engines.options import Precision
from engines.store import EngineStore
from semlink.errors import EngineError, MissingDependencyError
from tests.support.gpu_transmitters import LEAST_COSINE, least_cosine, pictures, transmitter_graph

pytestmark = pytest.mark.gpu

Load: TypeAlias = Callable[[Precision], GraphRunner]
PROVIDERS = {"onnxruntime": CUDA, "onnxruntime-tensorrt": TENSORRT}
ON_CPU = "run on the CPU"
"""Of the warning that names what a provider leaves to the CPU."""


@pytest.fixture(scope="module", params=list(PROVIDERS))
def load(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """The transmitter in either provider; skipped, with the reason, where it cannot run."""
    try:
        require_provider(PROVIDERS[request.param], 0)
    except (EngineError, MissingDependencyError) as error:
        pytest.skip(str(error))
    store = EngineStore(tmp_path_factory.mktemp("engines"))

    def loaded(precision: Precision) -> GraphRunner:
        graph = transmitter_graph(precision)
        return load_runner(graph, backend=request.param, device="gpu", precision=precision.value, store=store)

    with pytest.MonkeyPatch.context() as environment:
        # Read by CUDA's libraries when they start; the only thing that forbids TF32 to the TensorRT provider.
        if request.param == "onnxruntime-tensorrt":
            environment.setenv("NVIDIA_TF32_OVERRIDE", "0")
        yield loaded


@pytest.mark.parametrize("precision", list(Precision))
def test_codes_are_those_of_the_cpu(load: Load, precision: Precision, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "engines.backends.onnxruntime.providers"):
        runner = load(precision)
    assert ON_CPU not in caplog.text
    assert least_cosine(runner) >= LEAST_COSINE[precision]


def test_from_other_threads(load: Load) -> None:
    runner = load(Precision.FP32)
    wrong: list[np.ndarray] = []
    expected = [runner(picture[None]) for picture in pictures()[:4]]

    def use(number: int) -> None:
        results = [runner(pictures()[number][None]) for _ in range(20)]
        wrong.extend(result for result in results if not np.array_equal(result, expected[number]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert wrong == []


def test_a_batch_gives_what_its_pictures_give(load: Load) -> None:
    runner, batch = load(Precision.FP32), np.stack(pictures()[:3])
    if runner.input.shape[0] == 1:
        pytest.skip("one image at a time")
    each = np.concatenate([runner(picture[None]) for picture in batch])
    # Another batch may be computed by another algorithm, and a code then round the other way.
    assert np.abs(runner(batch).astype(int) - each).max() <= 1


def test_a_kept_engine_gives_the_same(load: Load) -> None:
    picture = pictures()[0][None]
    assert np.abs(load(Precision.FP32)(picture).astype(int) - load(Precision.FP32)(picture)).max() <= 1


def test_what_does_not_fit_is_one_line(load: Load) -> None:
    """All of the GPU's memory taken beforehand."""
    torch = pytest.importorskip("torch")
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(0, free - 8 * 2**20), dtype=torch.uint8, device="cuda")
    try:
        with pytest.raises(EngineError) as caught:
            load(Precision.INT8)
        assert "\n" not in str(caught.value)
    finally:
        del taken
        torch.cuda.empty_cache()
    assert least_cosine(load(Precision.FP32)) >= LEAST_COSINE[Precision.FP32]
