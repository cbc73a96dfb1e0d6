"""report.json: the headline figures are of the first dataset, codec and rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from semlink.rates import parse_rate
from trainer.demo.config import DemoConfig, LinkSettings
from trainer.demo.link import LinkRun
from trainer.demo.measure import measure_cell, read_retrievals
from trainer.demo.report import DatasetReport, DatasetRun, DemoReport, cell_latency, summary_table


@pytest.fixture
def dataset_run(
    logged_run: Callable[..., LinkRun], picture_folder: Path, demo_kb: Path
) -> Callable[[str, Sequence[LinkSettings]], DatasetRun]:
    """A dataset whose i-th run has i incorrect matches and a latency of i + 1 ms."""
    labels = {str(path): path.parent.name for path in picture_folder.rglob("*.png")}

    def make(name: str, settings: Sequence[LinkSettings]) -> DatasetRun:
        cells, retrievals = [], []
        for number, each in enumerate(settings):
            run = logged_run(num_incorrect=number, latency_ms=number + 1.0)
            retrievals.append(tuple(read_retrievals(run, labels)))
            cells.append(measure_cell(run, retrievals[-1], each))
        report = DatasetReport(name, "the labels agree", 1.0, 12, 0, cells)
        return DatasetRun(report, tuple(retrievals), demo_kb)

    return make


@pytest.fixture
def report(
    dataset_run: Callable[[str, Sequence[LinkSettings]], DatasetRun], settings: Callable[..., LinkSettings]
) -> DemoReport:
    """Two datasets; `nested` at two SNRs and `kbsc` at another rate."""
    cells = [settings(snr_db=0.0), settings(snr_db=10.0), settings(codec="kbsc", rate=parse_rate("128"))]
    runs = [dataset_run(name, cells) for name in ("digits", "[photos]")]
    return DemoReport.of(runs, DemoConfig(rates=(parse_rate("64"),)), encoder="builtin", command="semlink demo")


def test_headline_figures_are_of_the_first_codec_and_rate(report: DemoReport) -> None:
    assert (report.dataset, report.codec, report.num_symbols, report.rate) == ("digits", "nested", 64, "1/48")
    assert report.semantic_accuracy == {"0": 1.0, "10": pytest.approx(11 / 12)}
    assert (report.images_sent, report.frames_received, report.frames_lost) == (24, 24, 0)
    assert (report.latency_ms.num_samples, report.latency_ms.mean) == (24, 1.5)
    assert report.throughput_images_s > 0


def test_every_run_is_in_the_report(report: DemoReport) -> None:
    written = msgspec.json.decode(msgspec.json.encode(report))
    assert [dataset["dataset"] for dataset in written["datasets"]] == ["digits", "[photos]"]
    assert [cell["codec"] for cell in written["datasets"][0]["cells"]] == ["nested", "nested", "kbsc"]
    assert written["datasets"][0]["criterion"] == "the labels agree"
    assert (written["kind"], written["command"], written["encoder"]) == ("demo", "semlink demo", "builtin")
    assert written["settings"]["rates"] == [64]
    assert {"device", "versions", "made_at", "commit"} <= written.keys()


def test_stages_are_those_of_every_run_and_of_the_first(report: DemoReport) -> None:
    names = [stage.name for stage in report.stages]
    assert names[:2] == ["digits nested 1/48 0 dB", "digits nested 1/48 10 dB"]
    assert names[6:] == ["tx encode (first run)", "channel channel (first run)", "rx search (first run)"]
    assert [stage.is_end_to_end for stage in report.stages] == [True] * 6 + [False] * 3
    assert report.stages[2].mean_ms == 3.0


def test_the_table_has_a_row_for_every_run(report: DemoReport) -> None:
    console = Console(width=120)
    with console.capture() as printed:
        console.print(summary_table(report))
    lines = printed.get().splitlines()
    assert "accuracy" in lines[1]
    assert "noiseless" in lines[1]
    assert len(lines) == 2 + 6
    assert "[photos]" in lines[-1]
    assert "0.833" in lines[-1]


def test_latency_has_a_name_for_every_run(report: DemoReport) -> None:
    latency = cell_latency(report.datasets)
    assert list(latency)[:3] == ["digits nested 1/48 0 dB", "digits nested 1/48 10 dB", "digits kbsc 1/24 0 dB"]
    assert latency["digits kbsc 1/24 0 dB"].mean == 3.0
