"""Time of a fresh process from its start to its first result; its files are in the page cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import NUM_KB_ENTRIES, NUM_THREADS, OPTIONS
from benchmarks.fresh_process import FirstCall, first_frame, first_image, summarize_starts
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.model_set import ModelSet
from semlink.image import LoadedImage
from semlink.rates import Rate

NUM_PROCESSES = 5


def start_several(benchmark: BenchmarkFixture, start: Callable[[], FirstCall]) -> list[FirstCall]:
    """Start one process after the other; the first is not timed, it fills the page cache."""
    calls: list[FirstCall] = []
    benchmark.pedantic(lambda: calls.append(start()), rounds=NUM_PROCESSES, warmup_rounds=1)
    benchmark.extra_info.update(summarize_starts(calls[1:]))
    return calls


def test_cold_first_image(benchmark: BenchmarkFixture, camera_image: LoadedImage, rate: Rate, tmp_path: Path) -> None:
    """Start of Python, imports, load, and a 1280 x 720 image in memory to a frame."""
    np.save(tmp_path / "image.npy", camera_image.pixels)
    start = partial(first_image, tmp_path / "image.npy", rate.num_symbols, NUM_THREADS)
    assert all(call.result > 2 * rate.num_symbols for call in start_several(benchmark, start))


def test_cold_first_frame(
    benchmark: BenchmarkFixture,
    model_set: ModelSet,
    camera_image: LoadedImage,
    rate: Rate,
    knowledge_base_folder: Path,
    tmp_path: Path,
) -> None:
    """Start of Python, imports, load of models and a KB of 5,000, and a frame in memory to its match."""
    path = tmp_path / "frame"
    model = load_transmitter_model(model_set, rate, OPTIONS)
    path.write_bytes(Transmitter(model, rate).encode(camera_image.pixels))
    start = partial(first_frame, knowledge_base_folder, path, rate.num_symbols)
    entry_ids = {call.result for call in start_several(benchmark, start)}
    assert len(entry_ids) == 1
    assert 0 <= entry_ids.pop() < NUM_KB_ENTRIES
