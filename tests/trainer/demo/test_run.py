"""The demonstration: three processes over sockets, and the library path that must agree with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("sklearn", reason="needs semlink[demo]")
pytest.importorskip("skimage", reason="needs semlink[demo]")

from semlink.errors import ConfigError, KnowledgeBaseError, ResultsError
from semlink.rates import parse_rate
from tests.support.deadlines import DEADLINE_S
from trainer.demo.processes import CommandFailedError, CommandProcess, run_command, run_link
from trainer.intervals import proportion_interval

COUNT = 300


def semlink(*arguments: str, expected: int = 0) -> str:
    command = [sys.executable, "-m", "semlink", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == expected, done.stderr
    return done.stdout if expected == 0 else done.stderr


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo of 300 digits, and at most as many photographs."""
    folder = tmp_path_factory.mktemp("demo") / "report"
    semlink("demo", "--count", str(COUNT), "--out", str(folder))
    return folder


def test_report_holds_what_was_promised(report_folder: Path) -> None:
    report = json.loads((report_folder / "report.json").read_text())
    assert report["images_sent"] == report["frames_received"] == 3 * COUNT
    assert (report["frames_lost"], report["frames_duplicated"]) == (0, 0)
    assert set(report["semantic_accuracy"]) == {"-7", "0", "10"}
    assert 0.5 < report["noiseless_accuracy"] <= 1.0
    assert 0.0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"] <= report["latency_ms"]["p99"]
    assert report["throughput_images_s"] > 0
    assert (report["rate"], report["num_symbols"], report["dataset"]) == ("1/48", 64, "digits")
    assert report["payload_cbr"] == pytest.approx(64 / (8 * 8 * 3))
    assert {"encoder", "device", "versions"} <= report.keys()
    assert [part["dataset"] for part in report["datasets"]] == ["digits", "photos"]
    stages = report["datasets"][0]["cells"][0]["stage_latency_ms"]
    assert {"tx encode", "tx send", "channel channel", "rx decode", "rx search"} <= stages.keys()


def test_noise_costs_accuracy_and_quiet_comes_near_the_ideal(report_folder: Path) -> None:
    report = json.loads((report_folder / "report.json").read_text())
    accuracy = report["semantic_accuracy"]
    assert accuracy["-7"] < accuracy["0"] < accuracy["10"] + 0.02
    assert accuracy["10"] > 0.7 * report["noiseless_accuracy"]
    assert accuracy["-7"] > 0.15  # ten digits: guessing is right in 10 %


def test_page_needs_no_network(report_folder: Path) -> None:
    page = (report_folder / "report.html").read_text()
    assert page.count("<img") > 40
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert "data:image/png;base64," in page


def test_evaluate_gives_the_numbers_of_the_demo(report_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs semlink[train]")
    out = tmp_path / "evaluation.json"
    semlink(
        "evaluate", "--data", "digits", "--rate", "64", "--limit", str(COUNT), "--num-seeds", "5", "--out", str(out)
    )
    assert out.with_suffix(".png").exists()
    evaluation = json.loads(out.read_text())
    demo = json.loads((report_folder / "report.json").read_text())
    assert evaluation["noiseless_accuracy"] == pytest.approx(demo["noiseless_accuracy"], abs=1 / COUNT + 1e-9)
    for cell in evaluation["summary"]:
        shown = demo["semantic_accuracy"][f"{cell['snr_db']:g}"]
        # The demo is one draw of the noise over 300 images; Wilson's interval is what that can say.
        interval = proportion_interval(round(shown * COUNT), COUNT)
        assert interval.low <= cell["semantic_accuracy"] <= interval.high


@pytest.mark.skipif(
    not (Path(os.environ.get("SEMLINK_DATA", "nowhere")) / "cifar-100-binary" / "test.bin").is_file(),
    reason="SEMLINK_DATA has no cifar-100-binary folder",
)
def test_builtin_codec_reaches_its_accuracy_on_cifar100(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs semlink[train]")
    out = tmp_path / "evaluation.json"
    arguments = (
        "--data",
        "cifar100",
        "--weights",
        "model-set",
        "--limit",
        "1000",
        "--num-seeds",
        "2",
        "--snr-db=-7,10",
    )
    semlink("evaluate", *arguments, "--rate", "64", "--out", str(out))
    evaluation = json.loads(out.read_text())
    accuracy = {cell["snr_db"]: cell["semantic_accuracy"] for cell in evaluation["summary"]}
    # docs/results.md: ideal 0.542, and 0.47 and 0.54 at 64 symbols; four standard errors of 1,000 images.
    assert evaluation["noiseless_accuracy"] == pytest.approx(0.542, abs=0.063)
    assert accuracy[-7.0] == pytest.approx(0.466, abs=0.063)
    assert accuracy[10.0] == pytest.approx(0.535, abs=0.063)


def test_folder_of_class_folders_is_demonstrated(picture_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    printed = semlink(
        "demo",
        "--data",
        str(picture_folder),
        "--snr-db=10",
        "--rate",
        "16,64",
        "--codec",
        "nested,nested-labels",
        *("--out", str(out), "--json"),
    )
    report = json.loads(printed)
    assert report == json.loads((out / "report.json").read_text())
    cells = [(cell["codec"], cell["num_symbols"]) for cell in report["datasets"][0]["cells"]]
    assert cells == [("nested", 16), ("nested", 64), ("nested-labels", 16), ("nested-labels", 64)]


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--rate", "1/7"), "rate", 2),
        (("--snr-db", "loud"), "numbers", 2),
        (("--model-set", "nowhere"), "model set", 5),
        (("--data", "nowhere"), "nowhere", 2),
        (("--rate", "16", "--codec", "kbsc"), "has no rate", 5),
    ],
)
def test_bad_arguments_get_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str, code: int) -> None:
    command = [sys.executable, "-m", "semlink", "demo", "--out", str(tmp_path / "report"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == code
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_process_that_fails_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"semlink kb failed: .*nowhere") as failure:
        run_command("kb", "build", str(tmp_path / "nowhere"), "--out", str(tmp_path / "kb"))
    assert failure.value.exit_code == ConfigError.exit_code


def test_process_that_is_killed_is_named() -> None:
    with CommandProcess("channel", "--listen", "tcp://127.0.0.1:*") as process:
        process.endpoint()
        process._process.kill()
        with pytest.raises(CommandFailedError, match="semlink channel was killed by signal 9") as failure:
            process.summary()
    assert failure.value.exit_code == 137


def test_first_failure_of_a_link_is_the_one_that_is_told(picture_folder: Path, tmp_path: Path) -> None:
    """A receiver whose disk is full fails first; transmitter and channel would wait for it, then fail otherwise."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    knowledge_base, images = tmp_path / "kb", tmp_path / "sent.txt"
    run_command("kb", "build", str(picture_folder), "--out", str(knowledge_base), "--json")
    images.write_text("".join(f"{path}\n" for path in sorted(picture_folder.rglob("*.png"))) * 20)
    results = tmp_path / "run" / "results"
    results.mkdir(parents=True)
    (results / "results.jsonl").symlink_to("/dev/full")
    settings = {
        "model_set": "builtin",
        "codec": "nested",
        "rate": parse_rate("64"),
        "channel": "awgn",
        "snr_db": 0.0,
        "seed": 0,
        "num_pilots": 0,
    }
    start_s = time.monotonic()
    with pytest.raises(CommandFailedError, match="semlink rx failed") as failure:
        run_link(images, knowledge_base, tmp_path / "run", **settings)
    assert failure.value.exit_code == ResultsError.exit_code
    assert time.monotonic() - start_s < DEADLINE_S


def test_process_that_never_listens_is_named() -> None:
    with CommandProcess("rx", "--kb", "nowhere") as process, pytest.raises(CommandFailedError) as failure:
        process.endpoint()
    assert failure.value.exit_code == KnowledgeBaseError.exit_code


def test_ctrl_c_ends_within_two_seconds_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "semlink", "demo", "--count", "50", "--out", str(tmp_path / "report")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    ) as process:
        assert process.stderr is not None
        assert "building a KB" in process.stderr.readline()
        start_s = time.monotonic()
        # As a terminal does it: to the command and to the processes that it started.
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
        assert time.monotonic() - start_s < DEADLINE_S
    assert process.returncode == 130
    assert list(tmp_path.glob("semlink-demo-*")) == []
