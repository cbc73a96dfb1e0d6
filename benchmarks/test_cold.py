"""What a fresh process takes, from its start to its first answer; its files are in the page cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from benchmarks.conftest import NUM_KB_ENTRIES, NUM_THREADS, OPTIONS
from benchmarks.fresh_process import FirstCall, first_frame, first_picture, summarize_starts
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter

NUM_PROCESSES = 5


def start_several(benchmark: pytest.FixtureRequest, start: Callable[[], FirstCall]) -> list[FirstCall]:
    """Start a process after another, the first of them for the page cache alone."""
    calls: list[FirstCall] = []
    benchmark.pedantic(lambda: calls.append(start()), rounds=NUM_PROCESSES, warmup_rounds=1)
    benchmark.extra_info.update(summarize_starts(calls[1:]))
    return calls


def test_cold_first_picture(benchmark, camera_picture, rate, tmp_path):
    """Start of Python, imports, load, and a 1280 x 720 picture in memory to a frame."""
    np.save(tmp_path / "picture.npy", camera_picture.pixels)
    start = partial(first_picture, tmp_path / "picture.npy", rate.num_symbols, NUM_THREADS)
    assert all(call.answer > 2 * rate.num_symbols for call in start_several(benchmark, start))


def test_cold_first_frame(benchmark, model_set, camera_picture, rate, knowledge_base_folder, tmp_path):
    """Start of Python, imports, load of models and a KB of 5,000, and a frame in memory to its match."""
    path = tmp_path / "message"
    model = load_transmitter_model(model_set, rate, OPTIONS)
    Transmitter(model, rate, path.write_bytes).run_once(camera_picture)
    start = partial(first_frame, knowledge_base_folder, path, rate.num_symbols)
    answers = {call.answer for call in start_several(benchmark, start)}
    assert len(answers) == 1
    assert 0 <= answers.pop() < NUM_KB_ENTRIES
