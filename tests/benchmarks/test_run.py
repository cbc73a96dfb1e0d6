"""What `make bench` measures in processes of their own, and what it writes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks.frame_sender import frame_sender
from benchmarks.fresh_process import FirstCall, first_frame, first_picture, summarize_starts
from benchmarks.graphs import graph_cost
from benchmarks.report.files import read_bench_file
from benchmarks.run import reduce, table
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.frame import unpack
from semlink.image import LoadedImage
from semlink.rates import parse_rate
from semlink.transport import FrameReceiver

RATE = parse_rate("64")


def test_a_fresh_process_says_what_its_start_takes(tmp_path: Path) -> None:
    models = ModelSet.find("builtin")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    named = [LabelledImage("", f"{number}.png", picture) for number, picture in enumerate(pictures)]
    build_knowledge_base(named, tmp_path / "kb", ImageEncoder(models), codecs=models.codecs)
    sent: list[bytes] = []
    Transmitter(load_transmitter_model(models, RATE), RATE, sent.append).run_once(LoadedImage(pictures[1], 48, 64))
    (tmp_path / "frame").write_bytes(sent[0])
    np.save(tmp_path / "picture.npy", pictures[1])
    tx = first_picture(tmp_path / "picture.npy", RATE.num_symbols, 1)
    rx = first_frame(tmp_path / "kb", tmp_path / "frame", RATE.num_symbols)
    assert list(tx.stages_ms) == ["python", "imports", "load", "first picture"]
    assert list(rx.stages_ms) == ["python", "imports", "load", "first frame"]
    for call in (tx, rx):
        assert min(call.stages_ms.values()) > 0.0
        assert 20.0 < call.peak_resident_mb < 4_000.0
    assert tx.answer == len(sent[0])
    assert rx.answer == 1


def test_cold_rows_have_a_median_and_a_maximum_and_no_percentiles(tmp_path: Path) -> None:
    calls = [
        FirstCall({"python": python_ms, "load": 100.0}, resident_mb, 1)
        for python_ms, resident_mb in ((20.0, 90.0), (30.0, 95.0), (90.0, 80.0))
    ]
    benchmark = {"name": "test_cold_first_picture", "stats": {"data": [0.5, 0.5, 0.5]}}
    raw = {
        "datetime": "2026-01-01T00:00:00",
        "machine_info": {"device": "a board", "versions": {}, "encoder_threads": 2, "machine_state": {}},
        "commit_info": {},
        "benchmarks": [{**benchmark, "extra_info": summarize_starts(calls)}],
    }
    report = reduce(raw)
    lines = table(report).splitlines()
    assert "| cold first picture | 3 | 130.000 |  |  |  | 190.000 |" in lines
    assert "| cold first picture: python | 3 | 30.000 |  |  |  | 90.000 |" in lines
    assert any("peak resident memory: 95 MB" in line for line in lines)
    (tmp_path / "latency.json").write_text(json.dumps(report))
    whole, python, load = read_bench_file(tmp_path / "latency.json").stages
    assert (whole.name, whole.p50, whole.p95, whole.max) == ("cold first picture", 130.0, None, 190.0)
    assert whole.memory_mb == {"peak_resident_mb": 95.0}
    assert (python.name, python.max, load.p50) == ("cold first picture: python", 90.0, 100.0)


def test_frames_leave_when_they_are_told_to_and_say_when(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (2, RATE.num_symbols, 2)).astype(np.int8)
    with FrameReceiver("tcp://127.0.0.1:*") as frames, frame_sender(frames, codes, bytes(16), tmp_path) as next_frame:
        assert frames.receive(timeout_s=0.05) is None
        for sequence in range(3):
            before_ns = time.time_ns()
            frame = unpack(next_frame())
            assert frame.sequence == sequence
            assert np.array_equal(frame.codes, codes[sequence % 2])
            assert before_ns < frame.capture_time_ns < time.time_ns()


def test_a_sender_that_ends_is_told(tmp_path: Path) -> None:
    """And no wait for what never comes: no rate has 63 symbols."""
    codes = np.zeros((2, 63, 2), np.int8)
    with (
        FrameReceiver("tcp://127.0.0.1:*") as frames,
        pytest.raises(RuntimeError, match="process ended with 1"),
        frame_sender(frames, codes, bytes(16), tmp_path),
    ):
        pass


def test_cost_of_a_graph() -> None:
    """By hand: 8 filters of 3 x 3 x 3 at 4 x 4 places, and a matrix of 128 x 10; each multiplied and added."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        network (float[batch, 3, 8, 8] pixels) => (float[batch, 10] y)
        <float[8, 3, 3, 3] filters = {{{", ".join(["0.1"] * 216)}}}, float[128, 10] w = {{{", ".join(["0.1"] * 1280)}}}>
        {{ maps = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (pixels, filters)
           active = Relu (maps)
           flat = Flatten (active)
           y = MatMul (flat, w) }}
    """)
    cost = graph_cost(model.SerializeToString())
    assert cost == {"bytes_moved": 4 * (216 + 1280), "operations": 2 * (216 * 16 + 1280)}
