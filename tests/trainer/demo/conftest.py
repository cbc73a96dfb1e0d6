"""A knowledge base of small pictures, and the settings and logs of runs, for tests of the demo's parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("scipy", reason="needs semlink[demo]")

from edge_rx.kb.build import build_knowledge_base, labelled_folder
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.rates import parse_rate
from trainer.demo.config import LinkSettings
from trainer.demo.link import LinkRun


@pytest.fixture
def settings() -> Callable[..., LinkSettings]:
    """Settings of a run: `nested` at 64 symbols and 0 dB, with changes by name."""

    def make(**changes: Any) -> LinkSettings:
        fields = {
            "model_set": "builtin",
            "codec": "nested",
            "rate": parse_rate("64"),
            "channel": "awgn",
            "snr_db": 0.0,
            "num_pilots": 0,
            "seed": 0,
        }
        return LinkSettings(**{**fields, **changes})

    return make


@pytest.fixture(scope="session")
def demo_kb(tmp_path_factory: pytest.TempPathFactory, picture_folder: Path, model_set: ModelSet) -> Path:
    """A knowledge base of the pictures; entry i is the i-th picture by path."""
    folder = tmp_path_factory.mktemp("demo") / "kb"
    build_knowledge_base(labelled_folder(picture_folder), folder, ImageEncoder(model_set))
    return folder


@pytest.fixture
def logged_run(tmp_path: Path, picture_folder: Path) -> Callable[..., LinkRun]:
    """A run of the twelve pictures, one every 10 ms, by its logs."""

    def make(*, num_lost: int = 0, num_incorrect: int = 0, latency_ms: float = 5.0) -> LinkRun:
        paths = sorted(picture_folder.rglob("*.png"))
        sent = [
            {
                "frame": f"7-{number}",
                "name": str(path),
                "capture_time_ns": number * 10_000_000,
                "payload_cbr": 0.5,
                "total_cbr": 0.75,
            }
            for number, path in enumerate(paths)
        ]
        results = [
            {
                "stream_id": 7,
                "sequence": number,
                "entry_id": number,
                "label": "wrong" if number < num_incorrect else path.parent.name,
                "score": 0.9,
                "latency_ms": latency_ms,
                "matched_time_ns": number * 10_000_000 + int(latency_ms * 1e6),
            }
            for number, path in enumerate(paths[: len(paths) - num_lost])
        ]
        for name, lines in (("sent.jsonl", sent), ("results.jsonl", results)):
            (tmp_path / name).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        clock = {"num_samples": 12, "mean": 1.0, "p50": 1.0, "p95": 2.0, "p99": 3.0, "p999": 4.0}
        return LinkRun(
            receiver={
                "frames_received": len(results),
                "frames_duplicated": 0,
                "stage_latency_ms": {"search": clock},
            },
            channel={"stage_latency_ms": {"channel": clock}},
            transmitter={"stage_latency_ms": {"encode": clock}},
            sent_log=tmp_path / "sent.jsonl",
            results_log=tmp_path / "results.jsonl",
        )

    return make
