"""Both ends started in processes of their own, and the stage that several starts make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from benchmarks.fresh_process import FirstCall, first_frame, first_image, summarize_starts
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.rates import parse_rate

RATE = parse_rate("64")


@pytest.mark.process
def test_a_fresh_process_reports_the_time_of_its_start(tmp_path: Path) -> None:
    models = ModelSet.find("builtin")
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    named = [LabelledImage("", f"{number}.png", image) for number, image in enumerate(images)]
    build_knowledge_base(named, tmp_path / "kb", ImageEncoder(models), codecs=models.codecs)
    frame = Transmitter(load_transmitter_model(models, RATE), RATE).encode(images[1])
    (tmp_path / "frame").write_bytes(frame)
    np.save(tmp_path / "image.npy", images[1])
    tx = first_image(tmp_path / "image.npy", RATE.num_symbols, 1)
    rx = first_frame(tmp_path / "kb", tmp_path / "frame", RATE.num_symbols)
    assert list(tx.stages_ms) == ["python", "imports", "load", "first image"]
    assert list(rx.stages_ms) == ["python", "imports", "load", "first frame"]
    for call in (tx, rx):
        assert min(call.stages_ms.values()) > 0.0
        assert 20.0 < call.peak_resident_mb < 4_000.0
    assert tx.result == len(frame)
    assert rx.result == 1


def test_starts_have_a_median_and_a_maximum_and_no_percentiles() -> None:
    calls = [
        FirstCall({"python": python_ms, "load": 100.0}, resident_mb, 1)
        for python_ms, resident_mb in ((20.0, 90.0), (30.0, 95.0), (90.0, 80.0))
    ]
    assert summarize_starts(calls) == {
        "num_samples": 3,
        "p50_ms": 130.0,
        "max_ms": 190.0,
        "parts": {
            "python": {"num_samples": 3, "p50_ms": 30.0, "max_ms": 90.0},
            "load": {"num_samples": 3, "p50_ms": 100.0, "max_ms": 100.0},
        },
        "memory_mb": {"peak resident": 95.0},
    }
