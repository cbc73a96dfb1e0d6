"""report.json and the table of its runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest
from rich.console import Console

from semlink.rates import parse_rate
from trainer.demo.config import DemoConfig, LinkSettings
from trainer.demo.report import DatasetRun, DemoReport, cell_latency, summary_table


@pytest.fixture
def report(
    dataset_run: Callable[[str, Sequence[LinkSettings]], DatasetRun], settings: Callable[..., LinkSettings]
) -> DemoReport:
    """Two datasets; `nested` at two SNRs and `kbsc` at another rate."""
    cells = [settings(snr_db=0.0), settings(snr_db=10.0), settings(codec="kbsc", rate=parse_rate("128"))]
    datasets = [dataset_run(name, cells).report for name in ("digits", "[photos]")]
    return DemoReport.of(datasets, DemoConfig(rates=(parse_rate("64"),)), encoder="builtin", command="semlink demo")


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
