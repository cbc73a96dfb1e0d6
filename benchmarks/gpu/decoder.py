"""The receiver's decoder and exact search on one GPU: received symbols in host memory to entries in host memory.

`kbsc` in TensorRT and FAISS's search, which reads the query in device memory, as `semlink rx` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.gpu.search import DIM, NUM_QUERIES, NUM_SYMBOLS, TOLERANCE, Queries, best_cosines
from benchmarks.gpu.timing import DeviceBench, SkipPart, host_free_bytes
from edge_rx.decoders.base import Candidate
from edge_rx.decoders.feature import feature_decoders
from edge_rx.decoders.options import DecoderOptions
from edge_rx.kb.gpu_search import SearchPrecision
from edge_rx.kb.index import FlatIndex, open_search_device
from edge_rx.noise import NoiseEstimator
from engines.models.codecs import PerRateCodec
from engines.models.model_set import ModelSet
from semlink.iq import Symbols, dequantize, unpair_symbols
from semlink.rates import parse_rate

__all__ = ["bench_decoder"]

RATE = parse_rate(str(NUM_SYMBOLS))
BATCHES = ((1, 1), (16, 1), (16, 16))
"""Largest number of frames that an engine decodes together, and number of frames in a call."""


def bench_decoder(bench: DeviceBench, size: int) -> None:
    """Time every batch over `size` entries."""
    for precision in SearchPrecision:
        stem = f"decode_and_search_{size}_x_{DIM}_{precision.value}_gpu_decoder"
        with bench.part(stem):
            bench.require_tensorrt()
            _bench_precision(bench, size, precision, stem)


def _bench_precision(bench: DeviceBench, size: int, precision: SearchPrecision, stem: str) -> None:
    # The host's index, and the copy that it needs while it grows.
    if 8 * size * DIM > 0.9 * host_free_bytes():
        raise SkipPart(f"needs {8 * size * DIM / 2**30:.1f} GiB of the host, which are not free")
    num_bytes = size * DIM * (2 if precision is SearchPrecision.FP16 else 4)
    bench.require_free(num_bytes)
    models = ModelSet.find("builtin")
    codec = models.codec("kbsc")
    assert isinstance(codec, PerRateCodec)
    symbols, queries = _random_queries(codec)
    expected = best_cosines(queries, size, bench.device)[:, 0]
    index = FlatIndex(DIM, num_threads=torch.get_num_threads(), gpu=open_search_device("gpu", precision))
    for _, block in queries.blocks(size, bench.device):
        index.add(block.cpu().numpy())
    # The part of a knowledge base that a decoder uses.
    entries: Any = SimpleNamespace(search_on_device=lambda query: index.search_on_device(query, num_matches=1))
    for batch, num_frames in BATCHES:
        name = f"{stem}_engine_batch_{batch}_of_{num_frames}_frames"
        with bench.part(name):
            options = DecoderOptions(rates=[RATE], batch_size=batch)
            unmeasured = {RATE: _NoConfidence()}
            decoders = feature_decoders(models, codec, unmeasured, entries, options, backend="tensorrt")
            decoder = decoders[codec.fingerprint(RATE)]

            def match(number: int, decoder: Any = decoder, num_frames: int = num_frames) -> list[Candidate | None]:
                sent = _numbers(number, num_frames)
                observation = [decoder.equalize(symbols[frame], num_pilots=0, noise=NoiseEstimator()) for frame in sent]
                found: list[Candidate | None] = decoder.search(decoder.decode(np.concatenate(observation)))
                return found

            bench.time(
                name,
                match,
                _Checker(queries.ids(size).numpy(), expected, num_frames, TOLERANCE[precision]),
                has_events=False,
                notes={"precision": precision.value, "engine_batch": batch, "frames": num_frames},
                bytes_moved=num_bytes,  # an exact search reads every vector, once for all frames
                operations=2 * size * DIM * num_frames,
            )


class _NoConfidence:
    """In place of the signals of millions of entries, which the host compares beside what is timed here."""

    def queries(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        return np.empty((len(symbols), 0), np.float32)

    def confidences(self, queries: npt.NDArray[np.float32], entries: npt.NDArray[np.int64]) -> list[float]:
        return [0.0] * len(entries)


def _random_queries(codec: PerRateCodec) -> tuple[list[Symbols], Queries]:
    """Random symbols, and the queries that the CPU decodes from them."""
    codes = np.random.default_rng(0).integers(-100, 101, (NUM_QUERIES, NUM_SYMBOLS, 2)).astype(np.int8)
    symbols = [dequantize(each) for each in codes]
    network = codec.load_decoder(RATE, backend="onnxruntime")
    vectors = network(np.stack([unpair_symbols(each) for each in symbols]))
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return symbols, Queries(torch.from_numpy(codes), torch.nn.Identity(), torch.from_numpy(vectors))


def _numbers(number: int, num_frames: int) -> list[int]:
    """Indices of the queries of a call."""
    return [(number + frame) % NUM_QUERIES for frame in range(num_frames)]


@dataclass(frozen=True, eq=False)
class _Checker:
    """Each frame's own vector must be found, and its cosine be the CPU's."""

    ids: npt.NDArray[np.int64]
    cosines: npt.NDArray[np.float32]
    num_frames: int
    tolerance: float

    def __call__(self, number: int, candidates: list[Candidate | None]) -> None:
        numbers = _numbers(number, self.num_frames)
        if len(candidates) != len(numbers):
            raise RuntimeError(f"{len(candidates)} candidates for {len(numbers)} frames")
        for query, candidate in zip(numbers, candidates, strict=True):
            entry_id, score, _ = candidate or (-1, 0.0, 0.0)
            if entry_id != self.ids[query]:
                raise RuntimeError(f"query {query}: found {entry_id}, expected {self.ids[query]}")
            if not (error := abs(score - self.cosines[query])) <= self.tolerance:
                raise RuntimeError(
                    f"query {query}: its cosine differs from the CPU's by {error:.1e}, over {self.tolerance}"
                )
