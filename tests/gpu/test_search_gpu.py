"""faiss on a real GPU finds what it finds on the CPU: `pytest -m gpu tests/gpu`."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs faiss-gpu")

from edge_rx.kb.approximate import SearchIndex
from edge_rx.kb.gpu_search import GpuSearch, SearchPrecision
from edge_rx.kb.index import FlatIndex, InnerProductIndex, open_search_device
from engines.backends.runner import DeviceView
from semlink.errors import EngineError
from tests.support.vectors import gathered

pytestmark = pytest.mark.gpu

NUM_VECTORS, DIM = 20_000, 514
TOLERANCE = {SearchPrecision.FP32: 1e-4, SearchPrecision.FP16: 5e-3}
"""Of cosines."""


@pytest.fixture(params=list(SearchPrecision))
def gpu(request: pytest.FixtureRequest) -> GpuSearch:
    try:
        found = open_search_device("gpu", request.param)
    except EngineError as error:
        pytest.skip(str(error))
    assert found is not None
    return found


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((NUM_VECTORS, DIM)).astype(np.float32)


def test_cosines_are_those_of_the_cpu(gpu: GpuSearch, vectors: np.ndarray) -> None:
    on_cpu, on_gpu = FlatIndex(DIM), FlatIndex(DIM, gpu=gpu)
    for index in (on_cpu, on_gpu):
        index.add(vectors)
    slices, scores = on_gpu.search(vectors[:50], num_matches=4)
    _, expected = on_cpu.search(vectors[:50], num_matches=4)
    np.testing.assert_array_equal(slices[:, 0], np.arange(50))
    np.testing.assert_allclose(scores, expected, atol=TOLERANCE[gpu.precision])


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return gathered(NUM_VECTORS, DIM, num_points=200)


@pytest.mark.parametrize("kind", list(SearchIndex))
def test_queries_that_are_on_the_gpu_already(gpu: GpuSearch, features: np.ndarray, kind: SearchIndex) -> None:
    """Every index, by the address of a tensor of torch's; a query that is not a number finds nothing."""
    torch = pytest.importorskip("torch")
    if kind is SearchIndex.CAGRA and gpu.precision is not SearchPrecision.FP32:
        pytest.skip("cagra holds fp32 vectors")
    on_gpu = FlatIndex(DIM, gpu=gpu, kind=kind)
    on_gpu.add(features)
    queries = torch.tensor(features[:50]).cuda()
    queries[7] = float("nan")
    torch.cuda.synchronize()
    try:
        slices, scores = on_gpu.search_on_device(DeviceView(queries.data_ptr(), (50, DIM)), num_matches=1)
    except EngineError as error:
        if "built without cuVS" not in str(error):
            raise
        pytest.skip(str(error))
    assert slices[7, 0] == -1
    sound = np.delete(np.arange(50), 7)
    assert np.mean(slices[sound, 0] == sound) >= (1.0 if kind is SearchIndex.FLAT else 0.95)
    np.testing.assert_allclose(scores[sound, 0], 1.0, atol=0.1 if kind is SearchIndex.CAGRA else 1e-2)


@pytest.mark.parametrize("loudness", [1e-5, 1.0, 1e6])
def test_products_however_loud(gpu: GpuSearch, vectors: np.ndarray, loudness: float) -> None:
    queries = vectors[:20] * np.float32(loudness)
    slices, products = InnerProductIndex(vectors, gpu=gpu).search(queries, num_matches=64)
    _, expected = InnerProductIndex(vectors).search(queries, num_matches=64)
    np.testing.assert_array_equal(slices[:, 0], np.arange(20))
    np.testing.assert_allclose(products, expected, atol=TOLERANCE[gpu.precision] * float(expected.max()))


def test_what_does_not_fit_is_one_line(gpu: GpuSearch) -> None:
    """More than the GPU has, asked for without having it on the host: by room taken beforehand."""
    torch = pytest.importorskip("torch")
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(0, free - 64 * 2**20), dtype=torch.uint8, device="cuda")
    try:
        with pytest.raises(EngineError, match=r"GPU out of memory: .* bytes are needed"):
            InnerProductIndex(np.ones((200_000, DIM), np.float32), gpu=gpu)
    finally:
        del taken
        torch.cuda.empty_cache()
