"""The whole demonstration, and the library's evaluation, which must agree with it."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("sklearn", reason="needs semlink[demo]")
pytest.importorskip("skimage", reason="needs semlink[demo]")

from rich.console import Console
from rich.progress import Progress

from semlink.errors import ConfigError, ResultsError
from semlink.rates import parse_rate
from trainer.demo.config import DemoConfig
from trainer.demo.report import DatasetReport, DemoReport
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
def printed() -> Console:
    """What people read during the demonstration."""
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def report(out: Path, printed: Console) -> DemoReport:
    """A demonstration of some photographs and digits."""
    config = DemoConfig(rates=RATES, codecs=("nested",), snr_db=SNR_DB, limit=LIMIT)
    with Progress(console=printed, disable=True) as progress:
        return run_demo(config, out, progress=progress)


@pytest.fixture(scope="module")
def digits(report: DemoReport) -> DatasetReport:
    return report.datasets[1]


def test_every_image_is_received(report: DemoReport, digits: DatasetReport) -> None:
    assert [dataset.dataset for dataset in report.datasets] == ["photos", "digits"]
    for dataset in report.datasets:
        assert [cell.snr_db for cell in dataset.cells] == [*SNR_DB]
        for cell in dataset.cells:
            assert cell.images_sent == cell.frames_received == LIMIT
            assert (cell.frames_lost, cell.frames_duplicated) == (0, 0)
            assert 0.0 < cell.latency_ms.p50 <= cell.latency_ms.p95 <= cell.latency_ms.p99
            assert {"tx encode", "tx send", "channel channel", "rx decode", "rx search"} <= cell.stage_latency_ms.keys()
    assert digits.cells[0].payload_cbr == pytest.approx(64 / (8 * 8 * 3))


def test_accuracy_rises_with_the_snr_towards_the_noiseless(digits: DatasetReport) -> None:
    low, middle, high = (cell.semantic_accuracy for cell in digits.cells)
    assert low < middle < high + 0.02
    assert high > 0.7 * digits.noiseless_accuracy
    assert low > 0.15  # guessing one of ten digits gives 0.1


def test_each_run_is_announced_when_it_is_finished(report: DemoReport, printed: Console) -> None:
    file = printed.file
    assert isinstance(file, io.StringIO)
    lines = file.getvalue().splitlines()
    announced = [line for line in lines if "are correct" in line]
    expected = [
        f"{dataset.dataset}, nested, 64 symbols, {cell.snr_db:g} dB:"
        f" {round(cell.semantic_accuracy * LIMIT)} of {LIMIT} images are correct"
        for dataset in report.datasets
        for cell in dataset.cells
    ]
    assert announced == expected
    assert lines.index(f"digits: building a KB of 901 images, sending {LIMIT}") < lines.index(announced[3])


def test_the_report_is_written(report: DemoReport, out: Path) -> None:
    assert msgspec.json.decode((out / "report.json").read_bytes(), type=DemoReport) == report
    assert sorted(path.name for path in out.iterdir()) == ["photographs.webp", "report.html", "report.json"]
    assert (out / "report.html").read_text(encoding="utf-8").count("<img") > 40


def test_evaluate_gives_the_accuracy_of_the_demo(digits: DatasetReport) -> None:
    from trainer.evaluation import EvaluationConfig, evaluate

    evaluation = evaluate(EvaluationConfig(data="digits", snr_db=SNR_DB, limit=LIMIT, num_seeds=5, answer="label"))
    assert evaluation.noiseless_accuracy == pytest.approx(digits.noiseless_accuracy, abs=1 / LIMIT + 1e-9)
    shown = {cell.snr_db: cell.semantic_accuracy for cell in digits.cells}
    for cell in evaluation.summary:
        # The demo draws the noise once, for each of some images: its uncertainty is Wilson's interval.
        interval = proportion_interval(round(shown[cell.snr_db] * LIMIT), LIMIT)
        assert interval.low <= cell.semantic_accuracy <= interval.high


def test_a_folder_of_class_folders(picture_folder: Path, tmp_path: Path) -> None:
    codecs, rates = ("nested", "nested-labels"), (parse_rate("16"), parse_rate("64"))
    config = DemoConfig(datasets=(str(picture_folder),), rates=rates, codecs=codecs, snr_db=(10.0,))
    report = run(config, tmp_path / "report", keep=True)
    cells = [(cell.codec, cell.num_symbols) for cell in report.datasets[0].cells]
    assert cells == [("nested", 16), ("nested", 64), ("nested-labels", 16), ("nested-labels", 64)]
    assert not (tmp_path / "report" / "photographs.webp").exists()
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
