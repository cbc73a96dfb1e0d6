"""A knowledge base of small pictures, and the settings and logs of runs, for tests of the demo's parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("scipy", reason="needs semlink[demo]")

from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.summary import StreamSummary
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.rates import parse_rate
from trainer.demo.config import LinkSettings
from trainer.demo.link import LinkRun
from trainer.demo.measure import measure_cell, read_retrievals
from trainer.demo.report import DatasetReport, DatasetRun


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
def logged_run(picture_folder: Path) -> Callable[..., LinkRun]:
    """A run of the twelve pictures, one every 10 ms, by its logs."""

    def make(*, num_lost: int = 0, num_incorrect: int = 0, latency_ms: float = 5.0) -> LinkRun:
        paths = sorted(picture_folder.rglob("*.png"))
        sent = [
            {
                "frame": f"7-{number}",
                "stream_id": "7",
                "name": str(path),
                "capture_time_ns": number * 10_000_000,
                "payload_cbr": 0.5,
                "total_cbr": 0.75,
            }
            for number, path in enumerate(paths)
        ]
        results = [
            {
                "stream_id": "7",
                "sequence": number,
                "entry_id": number,
                "label": "wrong" if number < num_incorrect else path.parent.name,
                "confidence": 0.9,
                "latency_ms": latency_ms,
                "matched_time_ns": number * 10_000_000 + int(latency_ms * 1e6),
                "stage_ms": {"search": float(number)},
            }
            for number, path in enumerate(paths[: len(paths) - num_lost])
        ]
        clock = {"num_samples": 12, "mean": 1.0, "p50": 1.0, "p95": 2.0, "p99": 3.0, "p999": 4.0}
        return LinkRun(
            transmitter={"stage_latency_ms": {"encode": clock}},
            channel={"stage_latency_ms": {"channel": clock}},
            sent=sent,
            results=results,
        )

    return make


@pytest.fixture
def counted() -> Callable[..., StreamSummary]:
    """What a receiver counts of a run."""

    def make(run: LinkRun, *, num_duplicated: int = 0) -> StreamSummary:
        num_sent, num_received = len(run.sent), len(run.results)
        return StreamSummary(
            received=num_received,
            lost=num_sent - num_received,
            before_start=0,
            duplicated=num_duplicated,
            reordered=0,
            sent=num_sent,
        )

    return make


@pytest.fixture
def dataset_run(
    logged_run: Callable[..., LinkRun], counted: Callable[..., StreamSummary], picture_folder: Path, demo_kb: Path
) -> Callable[..., DatasetRun]:
    """A dataset whose i-th run has i incorrect matches and a latency of i + 1 ms."""
    labels = {str(path): path.parent.name for path in picture_folder.rglob("*.png")}

    def make(name: str, settings: Sequence[LinkSettings]) -> DatasetRun:
        cells, retrievals = [], []
        for number, each in enumerate(settings):
            run = logged_run(num_incorrect=number, latency_ms=number + 1.0)
            retrievals.append(tuple(read_retrievals(run, labels)))
            cells.append(measure_cell(run, retrievals[-1], each, counted(run)))
        report = DatasetReport(name, "the labels agree", 1.0, 12, 0, cells)
        return DatasetRun(report, tuple(retrievals), demo_kb)

    return make
