"""Decode and exact search: codes in host memory to entries in host memory, by torch and by FAISS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.gpu.timing import DeviceBench, SkipPart, captured, host_free_bytes
from edge_rx.kb.gpu_search import SearchPrecision
from edge_rx.kb.index import InnerProductIndex, open_search_device
from semlink.iq import dequantize
from trainer.codecs.kbsc import KbscNetwork

__all__ = ["DIM", "NUM_QUERIES", "NUM_SYMBOLS", "TOLERANCE", "Queries", "bench_search", "best_cosines"]

DIM, NUM_SYMBOLS = 512, 64
NUM_QUERIES = 8
"""Used in turn, so that no call repeats the one before."""
NUM_MATCHES = (1, 64)
_BLOCK = 250_000
_DTYPES = {SearchPrecision.FP32: torch.float32, SearchPrecision.FP16: torch.float16}
TOLERANCE = {SearchPrecision.FP32: 2e-5, SearchPrecision.FP16: 2e-3}
"""Largest deviation of a cosine from numpy's on the CPU in single precision."""


@dataclass(frozen=True, eq=False)
class Queries:
    """Codes that are sent, and the vectors that must be found.

    Attributes
    ----------
    codes : (queries, symbols, 2) int8
    decoder : received latent (batch, 2 n) to query, on the CPU in single precision
    vectors : (queries, DIM) float32 of unit length, as the CPU decodes them
    """

    codes: torch.Tensor
    decoder: torch.nn.Module
    vectors: torch.Tensor

    @classmethod
    def random(cls) -> Queries:
        """Random codes and the paper's decoder with random weights; the time depends on neither."""
        torch.manual_seed(0)
        decoder = KbscNetwork(DIM, 2 * NUM_SYMBOLS).eval().decoder
        codes = torch.randint(-100, 101, (NUM_QUERIES, NUM_SYMBOLS, 2), dtype=torch.int8)
        with torch.no_grad():
            vectors = decoder(codes.reshape(NUM_QUERIES, -1) * _code_step())
        return cls(codes, decoder, vectors / vectors.norm(dim=1, keepdim=True))

    def ids(self, size: int) -> torch.Tensor:
        """Index of each query's own vector, (queries,) int64."""
        return torch.arange(NUM_QUERIES) * (size // NUM_QUERIES)

    def blocks(self, size: int, device: torch.device) -> Iterator[tuple[int, torch.Tensor]]:
        """Random unit vectors with the queries among them, in blocks and the same each time: start, (n, DIM)."""
        ids = self.ids(size)
        for start in range(0, size, _BLOCK):
            generator = torch.Generator(device).manual_seed(start)
            block = torch.randn(min(_BLOCK, size - start), DIM, generator=generator, device=device)
            block /= block.norm(dim=1, keepdim=True)
            inside = (ids >= start) & (ids < start + len(block))
            block[(ids[inside] - start).to(device)] = self.vectors[inside].to(device)
            yield start, block


@dataclass(frozen=True, eq=False)
class _Checker:
    """The query's own vector must come first, and the cosines be the CPU's."""

    ids: torch.Tensor
    cosines: np.ndarray
    tolerance: float

    def __call__(self, number: int, matches: tuple[torch.Tensor, torch.Tensor]) -> None:
        scores, ids = matches
        query = number % NUM_QUERIES
        if int(ids[0, 0]) != int(self.ids[query]):
            raise RuntimeError(f"query {query}: found {int(ids[0, 0])}, expected {int(self.ids[query])}")
        error = float(np.abs(scores[0].numpy() - self.cosines[query]).max())
        if not error <= self.tolerance:
            raise RuntimeError(f"query {query}: cosines differ from the CPU's by {error:.1e}, over {self.tolerance}")


@dataclass(frozen=True, eq=False)
class _Case:
    """A search to time.

    Attributes
    ----------
    size : number of entries
    expected : the largest cosines of each query, as `best_cosines` gives them
    """

    queries: Queries
    size: int
    precision: SearchPrecision
    expected: np.ndarray

    def checker(self, num_matches: int) -> _Checker:
        return _Checker(self.queries.ids(self.size), self.expected[:, :num_matches], TOLERANCE[self.precision])


def bench_search(bench: DeviceBench, size: int) -> None:
    """Time every way to search `size` entries."""
    queries = Queries.random()
    references: list[np.ndarray] = []
    with bench.part(f"cosines on the CPU, {size} x {DIM}"):
        bench.require_free(4 * DIM * _BLOCK)
        references.append(best_cosines(queries, size, bench.device))
    if not references:
        return
    (expected,) = references
    for precision in SearchPrecision:
        case = _Case(queries, size, precision, expected)
        stem = f"decode_and_search_{size}_x_{DIM}_{precision.value}"
        with bench.part(stem):
            _bench_torch(bench, case, stem)
        stem = f"search_{size}_x_{DIM}_{precision.value}_faiss"
        with bench.part(stem):
            _bench_faiss(bench, case, stem)


def _code_step() -> float:
    """Amplitude of one step of a code."""
    return float(dequantize(np.array([[1, 0]], np.int8))[0].real)


def best_cosines(queries: Queries, size: int, device: torch.device) -> np.ndarray:
    """The largest cosines of each query by numpy, (queries, m) float32 in descending order."""
    best = np.empty((NUM_QUERIES, 0), np.float32)
    for _, block in queries.blocks(size, device):
        cosines = queries.vectors.numpy() @ block.cpu().numpy().T
        best = -np.sort(-np.hstack([best, cosines]), axis=1)[:, : max(NUM_MATCHES)]
    return best


def _bench_torch(bench: DeviceBench, case: _Case, stem: str) -> None:
    queries, size = case.queries, case.size
    dtype = _DTYPES[case.precision]
    num_bytes = size * DIM * dtype.itemsize
    bench.require_free(num_bytes + 4 * DIM * _BLOCK + 16 * size)
    vectors = torch.empty((size, DIM), dtype=dtype, device=bench.device)
    for start, block in queries.blocks(size, bench.device):
        vectors[start : start + len(block)] = block.to(dtype)
    for num_matches in NUM_MATCHES:
        receiver = _TorchReceiver(bench, queries, vectors, num_matches)
        for is_graph in (False, True):
            name = f"{stem}_top_{num_matches}_torch{'_cuda_graph' if is_graph else ''}"
            with bench.part(name):
                if is_graph and not bench.is_cuda:
                    raise SkipPart("a CPU has no CUDA graphs")
                if is_graph:
                    receiver.capture()
                bench.time(
                    name,
                    receiver.match,
                    case.checker(num_matches),
                    notes={
                        "precision": case.precision.value,
                        "scores": receiver.scores_precision,
                        "cuda_graph": is_graph,
                    },
                    bytes_moved=num_bytes,  # an exact search reads every vector
                    operations=2 * size * DIM,
                )


class _TorchReceiver:
    """Codes to the indices of the nearest vectors; the query never leaves the device."""

    def __init__(self, bench: DeviceBench, queries: Queries, vectors: torch.Tensor, num_matches: int) -> None:
        device, dtype = vectors.device, vectors.dtype
        self._vectors, self._num_matches = vectors, num_matches
        self._decoder = KbscNetwork(DIM, 2 * NUM_SYMBOLS).eval().decoder
        self._decoder.load_state_dict(queries.decoder.state_dict())
        self._decoder.to(device, dtype)
        self._step = _code_step()
        self._sent = bench.pinned(queries.codes)
        self._codes = torch.zeros_like(queries.codes[:1], device=device)
        self._scores = torch.zeros((1, num_matches), device=device)
        self._ids = torch.zeros((1, num_matches), dtype=torch.int64, device=device)
        self._matches = (
            bench.pinned(torch.zeros((1, num_matches))),
            bench.pinned(torch.zeros((1, num_matches), dtype=torch.int64)),
        )
        # Rounded to half precision, similar cosines would be equal.
        self._has_wide_scores = dtype is torch.float16 and device.type == "cuda" and _mm_widens(device)
        self._run = self._work

    @property
    def scores_precision(self) -> str:
        """Of the cosines that are sorted."""
        return "fp16" if self._vectors.dtype is torch.float16 and not self._has_wide_scores else "fp32"

    def capture(self) -> None:
        """Record the work as a CUDA graph, which later calls replay."""
        with torch.no_grad():
            self._run = captured(self._work)

    def _work(self) -> None:
        latent = self._codes.to(self._vectors.dtype).reshape(1, -1) * self._step
        query = self._decoder(latent)
        query = query / query.norm(dim=1, keepdim=True)
        if self._has_wide_scores:
            scores = torch.mm(query, self._vectors.T, out_dtype=torch.float32)
        else:
            scores = torch.mm(query, self._vectors.T)
        best = scores.topk(self._num_matches)
        self._scores.copy_(best.values)
        self._ids.copy_(best.indices)

    @torch.no_grad()
    def match(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Copy codes in, decode, search, copy scores and indices out."""
        self._codes.copy_(self._sent[number % NUM_QUERIES][None], non_blocking=True)
        self._run()
        self._matches[0].copy_(self._scores, non_blocking=True)
        self._matches[1].copy_(self._ids, non_blocking=True)
        return self._matches


def _mm_widens(device: torch.device) -> bool:
    """Whether this torch can multiply in half precision with results in single precision."""
    ones = torch.ones((8, 8), dtype=torch.float16, device=device)
    try:
        return torch.mm(ones, ones, out_dtype=torch.float32).dtype is torch.float32
    except (TypeError, RuntimeError):
        return False


def _bench_faiss(bench: DeviceBench, case: _Case, stem: str) -> None:
    """The search of `semlink rx`: the query is copied to the GPU and the result back."""
    queries, size = case.queries, case.size
    if not bench.is_cuda and case.precision is not SearchPrecision.FP32:
        raise SkipPart("a CPU searches in fp32")
    gpu = open_search_device("gpu", case.precision) if bench.is_cuda else None
    num_bytes = 4 * size * DIM
    # The array, and FAISS's copy of it.
    if 2 * num_bytes > 0.9 * host_free_bytes():
        raise SkipPart(f"needs {2 * num_bytes / 2**30:.1f} GiB of the host, which are not free")
    vectors = np.empty((size, DIM), np.float32)
    for start, block in queries.blocks(size, bench.device):
        vectors[start : start + len(block)] = block.cpu().numpy()
    index = InnerProductIndex(vectors, num_threads=torch.get_num_threads(), gpu=gpu)
    del vectors
    query_vectors = queries.vectors.numpy()
    for num_matches in NUM_MATCHES:

        def match(number: int, num_matches: int = num_matches) -> tuple[torch.Tensor, torch.Tensor]:
            ids, scores = index.search(query_vectors[[number % NUM_QUERIES]], num_matches=num_matches)
            return torch.from_numpy(scores), torch.from_numpy(ids)

        bench.time(
            f"{stem}_top_{num_matches}",
            match,
            case.checker(num_matches),
            has_events=False,
            notes={"precision": case.precision.value},
            bytes_moved=size * DIM * (2 if case.precision is SearchPrecision.FP16 else 4),
            operations=2 * size * DIM,
        )
