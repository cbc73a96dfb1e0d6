"""The whole demonstration, and the library's evaluation, which must agree with it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

pytest.importorskip("sklearn", reason="needs semlink[demo]")
pytest.importorskip("skimage", reason="needs semlink[demo]")

from rich.progress import Progress

from semlink.errors import ConfigError, ResultsError
from semlink.rates import parse_rate
from trainer.demo.config import DemoConfig
from trainer.demo.report import DemoReport
from trainer.demo.run import run_demo
from trainer.intervals import proportion_interval

pytestmark = pytest.mark.process

LIMIT = 100
RATES = (parse_rate("64"),)
SNR_DB = (-7.0, 0.0, 10.0)


def run(config: DemoConfig, out: Path, *, keep: bool = False) -> DemoReport:
    with Progress(disable=True) as progress:
        return run_demo(config, out, keep=keep, progress=progress)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "report"


@pytest.fixture(scope="module")
def report(out: Path) -> DemoReport:
    """A demonstration of some digits and photographs."""
    return run(DemoConfig(rates=RATES, codecs=("nested",), snr_db=SNR_DB, limit=LIMIT), out)


def test_every_image_is_received(report: DemoReport) -> None:
    assert report.images_sent == report.frames_received == 3 * LIMIT
    assert (report.frames_lost, report.frames_duplicated) == (0, 0)
    assert [dataset.dataset for dataset in report.datasets] == ["digits", "photos"]
    assert [cell.snr_db for cell in report.datasets[1].cells] == [*SNR_DB]
    assert 0.0 < report.latency_ms.p50 <= report.latency_ms.p95 <= report.latency_ms.p99
    assert report.payload_cbr == pytest.approx(64 / (8 * 8 * 3))
    stages = report.datasets[0].cells[0].stage_latency_ms
    assert {"tx encode", "tx send", "channel channel", "rx decode", "rx search"} <= stages.keys()


def test_accuracy_rises_with_the_snr_towards_the_noiseless(report: DemoReport) -> None:
    accuracy = report.semantic_accuracy
    assert accuracy["-7"] < accuracy["0"] < accuracy["10"] + 0.02
    assert accuracy["10"] > 0.7 * report.noiseless_accuracy
    assert accuracy["-7"] > 0.15  # guessing one of ten digits gives 0.1


def test_the_report_is_written(report: DemoReport, out: Path) -> None:
    assert msgspec.json.decode((out / "report.json").read_bytes(), type=DemoReport) == report
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
    assert (out / "report.html").read_text(encoding="utf-8").count("<img") > 40


def test_evaluate_gives_the_accuracy_of_the_demo(report: DemoReport) -> None:
    from trainer.evaluation import EvaluationConfig, evaluate

    evaluation = evaluate(EvaluationConfig(data="digits", snr_db=SNR_DB, limit=LIMIT, num_seeds=5))
    assert evaluation.noiseless_accuracy == pytest.approx(report.noiseless_accuracy, abs=1 / LIMIT + 1e-9)
    for cell in evaluation.summary:
        shown = report.semantic_accuracy[f"{cell.snr_db:g}"]
        # The demo draws the noise once, for each of some images: its uncertainty is Wilson's interval.
        interval = proportion_interval(round(shown * LIMIT), LIMIT)
        assert interval.low <= cell.semantic_accuracy <= interval.high


def test_a_folder_of_class_folders(picture_folder: Path, tmp_path: Path) -> None:
    codecs, rates = ("nested", "nested-labels"), (parse_rate("16"), parse_rate("64"))
    config = DemoConfig(datasets=(str(picture_folder),), rates=rates, codecs=codecs, snr_db=(10.0,))
    report = run(config, tmp_path / "report", keep=True)
    cells = [(cell.codec, cell.num_symbols) for cell in report.datasets[0].cells]
    assert cells == [("nested", 16), ("nested", 64), ("nested-labels", 16), ("nested-labels", 64)]
    assert (tmp_path / "report" / "work" / "0" / "run-nested-16-10-db" / "sent.jsonl").is_file()
    with pytest.raises(ConfigError, match="exists from an earlier demo; remove it"):
        run(config, tmp_path / "report", keep=True)


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = DemoConfig(rates=RATES)
    with pytest.raises(ConfigError, match="file is a file; --out takes a folder"):
        run(config, tmp_path / "file")
    with pytest.raises(ResultsError, match="Not a directory"):
        run(config, tmp_path / "file" / "report")
