"""Decode and exact search: codes in host memory to entries in host memory, by torch and by faiss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.gpu.timing import DeviceBench, SkipPart, captured, host_free_bytes
from edge_rx.kb.gpu_search import SearchDevice, SearchPrecision
from edge_rx.kb.index import InnerProductIndex, open_search_device
from semlink.iq import dequantize
from trainer.codecs.kbsc import KbscNetwork

__all__ = ["DIM", "NUM_QUERIES", "NUM_SYMBOLS", "TOLERANCE", "Questions", "bench_search", "best_cosines"]

DIM, NUM_SYMBOLS = 512, 64
NUM_QUERIES = 8
"""Sent in turn, so that no call repeats the one before."""
NUM_MATCHES = (1, 64)
_BLOCK = 250_000
_DTYPES = {SearchPrecision.FP32: torch.float32, SearchPrecision.FP16: torch.float16}
TOLERANCE = {SearchPrecision.FP32: 2e-5, SearchPrecision.FP16: 2e-3}
"""Of cosines, from those that numpy gives on the CPU in single precision."""


@dataclass(frozen=True, eq=False)
class Questions:
    """What is sent, and what must be found.

    Attributes
    ----------
    codes : (queries, symbols, 2) int8
    decoder : received latent (batch, 2 n) to query, on the CPU in single precision
    queries : (queries, DIM) float32 of unit length, what the CPU decodes
    """

    codes: torch.Tensor
    decoder: torch.nn.Module
    queries: torch.Tensor

    @classmethod
    def random(cls) -> Questions:
        """Random codes and the paper's decoder with random weights; time does not depend on either."""
        torch.manual_seed(0)
        decoder = KbscNetwork(DIM, 2 * NUM_SYMBOLS).eval().decoder
        codes = torch.randint(-100, 101, (NUM_QUERIES, NUM_SYMBOLS, 2), dtype=torch.int8)
        with torch.no_grad():
            queries = decoder(codes.reshape(NUM_QUERIES, -1) * _code_step())
        return cls(codes, decoder, queries / queries.norm(dim=1, keepdim=True))

    def places(self, size: int) -> torch.Tensor:
        """Where each query's own vector is, (queries,) int64."""
        return torch.arange(NUM_QUERIES) * (size // NUM_QUERIES)

    def blocks(self, size: int, device: torch.device) -> Iterator[tuple[int, torch.Tensor]]:
        """Random unit vectors with the queries among them, in blocks and the same each time: start, (n, DIM)."""
        places = self.places(size)
        for start in range(0, size, _BLOCK):
            generator = torch.Generator(device).manual_seed(start)
            block = torch.randn(min(_BLOCK, size - start), DIM, generator=generator, device=device)
            block /= block.norm(dim=1, keepdim=True)
            inside = (places >= start) & (places < start + len(block))
            block[(places[inside] - start).to(device)] = self.queries[inside].to(device)
            yield start, block


def bench_search(bench: DeviceBench, size: int) -> None:
    """Time every way to search so many entries."""
    questions = Questions.random()
    expected = None
    with bench.part(f"cosines on the CPU, {size} x {DIM}"):
        bench.require_free(4 * DIM * _BLOCK)
        expected = best_cosines(questions, size, bench.device)
    if expected is None:
        return
    for precision in SearchPrecision:
        stem = f"decode_and_search_{size}_x_{DIM}_{precision.value}"
        with bench.part(stem):
            _bench_torch(bench, questions, size, precision, expected, stem)
        stem = f"search_{size}_x_{DIM}_{precision.value}_faiss"
        with bench.part(stem):
            _bench_faiss(bench, questions, size, precision, expected, stem)


def _code_step() -> float:
    """Amplitude of one step of a code."""
    return float(dequantize(np.array([[1, 0]], np.int8))[0].real)


def best_cosines(questions: Questions, size: int, device: torch.device) -> np.ndarray:
    """The largest cosines of each query, (queries, m) float32 and falling, by numpy."""
    queries, best = questions.queries.numpy(), np.empty((NUM_QUERIES, 0), np.float32)
    for _, block in questions.blocks(size, device):
        cosines = queries @ block.cpu().numpy().T
        best = -np.sort(-np.hstack([best, cosines]), axis=1)[:, : max(NUM_MATCHES)]
    return best


def _bench_torch(
    bench: DeviceBench,
    questions: Questions,
    size: int,
    precision: SearchPrecision,
    expected: np.ndarray,
    stem: str,
) -> None:
    dtype = _DTYPES[precision]
    num_bytes = size * DIM * dtype.itemsize
    bench.require_free(num_bytes + 4 * DIM * _BLOCK + 16 * size)
    vectors = torch.empty((size, DIM), dtype=dtype, device=bench.device)
    for start, block in questions.blocks(size, bench.device):
        vectors[start : start + len(block)] = block.to(dtype)
    for num_matches in NUM_MATCHES:
        receiver = _TorchReceiver(bench, questions, vectors, num_matches)
        for is_graph in (False, True):
            name = f"{stem}_top_{num_matches}_torch{'_cuda_graph' if is_graph else ''}"
            with bench.part(name):
                if is_graph and not bench.is_cuda:
                    raise SkipPart("a CPU has no CUDA graphs")
                if is_graph:
                    receiver.capture()
                bench.time(
                    name,
                    receiver.answer,
                    _Checker(questions.places(size), expected[:, :num_matches], TOLERANCE[precision]),
                    precision=precision.value,
                    scores=receiver.scores_precision,
                    cuda_graph=is_graph,
                    bytes_moved=num_bytes,  # an exact search reads every vector
                    operations=2 * size * DIM,
                )


class _TorchReceiver:
    """Codes to the places of the nearest vectors; the query never leaves the device."""

    def __init__(self, bench: DeviceBench, questions: Questions, vectors: torch.Tensor, num_matches: int) -> None:
        device, dtype = vectors.device, vectors.dtype
        self._vectors, self._num_matches = vectors, num_matches
        self._decoder = KbscNetwork(DIM, 2 * NUM_SYMBOLS).eval().decoder
        self._decoder.load_state_dict(questions.decoder.state_dict())
        self._decoder.to(device, dtype)
        self._step = _code_step()
        self._sent = bench.pinned(questions.codes)
        self._codes = torch.zeros_like(questions.codes[:1], device=device)
        self._scores = torch.zeros((1, num_matches), device=device)
        self._places = torch.zeros((1, num_matches), dtype=torch.int64, device=device)
        self._answer = (
            bench.pinned(torch.zeros((1, num_matches))),
            bench.pinned(torch.zeros((1, num_matches), dtype=torch.int64)),
        )
        # Rounded to half precision, cosines near one another would be tied.
        self._has_wide_scores = dtype is torch.float16 and device.type == "cuda" and _mm_widens(device)
        self._run = self._work

    @property
    def scores_precision(self) -> str:
        """Of what is sorted."""
        return "fp16" if self._vectors.dtype is torch.float16 and not self._has_wide_scores else "fp32"

    def capture(self) -> None:
        """Replay a CUDA graph from now on."""
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
        self._places.copy_(best.indices)

    @torch.no_grad()
    def answer(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Copy codes in, decode, search, copy the answer out."""
        self._codes.copy_(self._sent[number % NUM_QUERIES][None], non_blocking=True)
        self._run()
        self._answer[0].copy_(self._scores, non_blocking=True)
        self._answer[1].copy_(self._places, non_blocking=True)
        return self._answer


def _mm_widens(device: torch.device) -> bool:
    """Whether this torch multiplies half precision into single."""
    ones = torch.ones((8, 8), dtype=torch.float16, device=device)
    try:
        return torch.mm(ones, ones, out_dtype=torch.float32).dtype is torch.float32
    except (TypeError, RuntimeError):
        return False


def _bench_faiss(
    bench: DeviceBench,
    questions: Questions,
    size: int,
    precision: SearchPrecision,
    expected: np.ndarray,
    stem: str,
) -> None:
    """What `semlink rx` searches with: the query goes to the GPU and the answer comes back."""
    if not bench.is_cuda and precision is not SearchPrecision.FP32:
        raise SkipPart("a CPU searches in fp32")
    gpu = open_search_device(SearchDevice.GPU, precision) if bench.is_cuda else None
    num_bytes = 4 * size * DIM
    # The array, and faiss's copy of it.
    if 2 * num_bytes > 0.9 * host_free_bytes():
        raise SkipPart(f"needs {2 * num_bytes / 2**30:.1f} GiB of the host, which are not free")
    vectors = np.empty((size, DIM), np.float32)
    for start, block in questions.blocks(size, bench.device):
        vectors[start : start + len(block)] = block.cpu().numpy()
    index = InnerProductIndex(vectors, num_threads=torch.get_num_threads(), gpu=gpu)
    del vectors
    queries = questions.queries.numpy()
    for num_matches in NUM_MATCHES:

        def answer(number: int, num_matches: int = num_matches) -> tuple[torch.Tensor, torch.Tensor]:
            places, scores = index.search(queries[[number % NUM_QUERIES]], num_matches=num_matches)
            return torch.from_numpy(scores), torch.from_numpy(places)

        bench.time(
            f"{stem}_top_{num_matches}",
            answer,
            _Checker(questions.places(size), expected[:, :num_matches], TOLERANCE[precision]),
            has_events=False,
            precision=precision.value,
            bytes_moved=size * DIM * (2 if precision is SearchPrecision.FP16 else 4),
            operations=2 * size * DIM,
        )


@dataclass(frozen=True, eq=False)
class _Checker:
    """The query's own vector must come first, and the cosines be the CPU's."""

    places: torch.Tensor
    cosines: np.ndarray
    tolerance: float

    def __call__(self, number: int, answer: tuple[torch.Tensor, torch.Tensor]) -> None:
        scores, places = answer
        query = number % NUM_QUERIES
        if int(places[0, 0]) != int(self.places[query]):
            raise RuntimeError(f"query {query}: found {int(places[0, 0])}, expected {int(self.places[query])}")
        error = float(np.abs(scores[0].numpy() - self.cosines[query]).max())
        if not error <= self.tolerance:
            raise RuntimeError(f"query {query}: cosines differ from the CPU's by {error:.1e}, over {self.tolerance}")
