"""`semlink engine` in this process; the entry point, which makes one line of an error, is tested by itself."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import engines.command
from engines.agreement import Verification
from engines.backends.onnxruntime.session import onnxruntime
from engines.backends.processor import instruction_set
from engines.command import app
from semlink.errors import EngineError, MissingDependencyError, SemlinkError
from tests.support.precisions import Precisions, smooth_images
from tests.support.processes import run_semlink


def engine(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def where(precisions: Precisions, engines: Path | None = None) -> tuple[object, ...]:
    return ("--model-set", precisions.models.folder, "--engines", engines or precisions.engines, "--device", "cpu")


@pytest.fixture
def own(small: Precisions, tmp_path: Path) -> Precisions:
    """A copy of the engines, for tests that change them."""
    shutil.copytree(small.engines, tmp_path / "own-engines")
    return replace(small, engines=tmp_path / "own-engines")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, pixels in enumerate(smooth_images(28, 40)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


Doctored = Callable[..., None]


@pytest.fixture
def doctored(monkeypatch: pytest.MonkeyPatch) -> Doctored:
    """Replace fields of what verifications find."""

    def doctor(**changes: float | None) -> None:
        original = engines.command.verify_engine

        def changed(*arguments: object, **options: object) -> Verification:
            return msgspec.structs.replace(original(*arguments, **options), **changes)  # type: ignore[arg-type]

        monkeypatch.setattr(engines.command, "verify_engine", changed)

    return doctor


def test_int8_is_built_verified_listed_and_timed(
    small: Precisions, photos: Path, tmp_path: Path, doctored: Doctored, caplog: pytest.LogCaptureFixture
) -> None:
    engines_folder = tmp_path / "engines"
    doctored(latency_ms=5.0, fp32_latency_ms=10.0)
    arguments = (*where(small, engines_folder), "--precision", "int8")
    built = engine("build", *arguments, "--calibrate", photos)
    assert (built.exit_code, "int8 of synthetic for onnxruntime on cpu" in built.stdout) == (0, True), built.exception
    for row in ("beside fp32", "num_images", "feature_cosine_least", "symbol_cosine", "latency_ms", "5.00", "10.00"):
        assert row in built.stdout
    assert "no gain" not in caplog.text
    (listed,) = json.loads(engine("info", *where(small, engines_folder)[:4], "--json").stdout)
    assert listed["key"]["device"] == instruction_set()
    assert listed["verification"]["num_images"] == 8
    assert engine("build", *arguments).exit_code == 0, "it is there, and verified"
    timed = engine("bench", *arguments, "--runs", 5, "--json", "--out", tmp_path / "bench.json")
    assert timed.exit_code == 0, timed.exception
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report == json.loads(timed.stdout)
    assert {stage["name"]: stage["num_samples"] for stage in report["stages"]}["engine"] == 5
    assert report["settings"]["precision"] == "int8"


@pytest.mark.parametrize(
    ("fp16_latency_ms", "better", "its_ms"), [(None, "fp32", 10.8), (11.0, "fp32", 10.8), (9.0, "fp16", 9.0)]
)
def test_int8_that_is_no_faster_is_said(
    own: Precisions,
    photos: Path,
    doctored: Doctored,
    fp16_latency_ms: float | None,
    better: str,
    its_ms: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    doctored(latency_ms=10.5, fp32_latency_ms=10.8, fp16_latency_ms=fp16_latency_ms)
    verified = engine("verify", photos, *where(own), "--precision", "int8")
    assert verified.exit_code == 0
    message = f"int8 is no gain here: 10.50 ms an image, where {better} takes {its_ms:.2f} ms; use --precision {better}"
    assert message in caplog.text
    assert ("fp16_latency_ms" in verified.stdout) == (fp16_latency_ms is not None)


@pytest.mark.parametrize("command", ["build", "verify"])
def test_a_precision_that_does_not_agree_fails(own: Precisions, photos: Path, command: str, doctored: Doctored) -> None:
    doctored(feature_cosine=0.905, feature_cosine_least=0.7)
    arguments = ("build", "--calibrate", photos, "--force") if command == "build" else ("verify", photos, "--json")
    failed = engine(*arguments, *where(own), "--precision", "int8")
    assert isinstance(failed.exception, EngineError)
    assert failed.exception.exit_code != 0
    assert "cosine of 0.9050 on average and 0.7000 at least, where 0.98 and 0.9 are needed" in str(failed.exception)
    if command == "verify":
        assert json.loads(failed.stdout)["verification"]["feature_cosine"] == 0.905


def test_verify_compares_fp16_and_keeps_nothing(small: Precisions, photos: Path, tmp_path: Path) -> None:
    checked = engine(
        "verify", photos, *where(small), "--precision", "fp16", "--limit", 5, "--json", "--out", tmp_path / "check.json"
    )
    report = json.loads(checked.stdout)
    assert report == json.loads((tmp_path / "check.json").read_text())
    assert (report["kind"], report["settings"]["precision"]) == ("engine-verification", "fp16")
    assert report["settings"]["engine"] == "onnxruntime on cpu", "with --backend auto too"
    assert report["settings"]["codec"] == small.models.codecs[0].name
    found = report["verification"]
    assert (found["num_images"], found["feature_cosine"] > 0.999) == (5, True), checked.exception
    built = engine("build", *where(small), "--precision", "fp16")
    assert (built.exit_code, "fp16 of synthetic for every backend and device" in built.stdout) == (0, True), (
        built.exception
    )
    listed = json.loads(engine("info", *where(small)[:4], "--json").stdout)
    assert {each["key"]["precision"]: each["verification"] is None for each in listed} == {"fp16": True, "int8": False}


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="ONNX Runtime here is built for GPUs"
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("build", "--precision", "fp16"),
        ("build", "--precision", "int8", "--calibrate", "PHOTOS"),
        ("build", "--precision", "fp32", "--backend", "onnxruntime-tensorrt"),
        ("bench", "--precision", "fp32"),
        ("verify", "PHOTOS", "--precision", "fp32"),
    ],
)
def test_every_command_takes_a_device(arguments: tuple[str, ...], photos: Path, tmp_path: Path) -> None:
    named = [str(photos) if argument == "PHOTOS" else argument for argument in arguments]
    error = engine(*named, "--device", "gpu:1", "--engines", tmp_path).exception
    assert isinstance(error, MissingDependencyError)
    assert re.search(r"pip install .*onnxruntime-gpu", str(error))
    assert not list(tmp_path.glob("*.engine")), "nothing is built before the device is checked"


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("build", "--precision", "fp32"), "nothing to build", 2),
        (("build", "--precision", "int8"), "int8 needs --calibrate FOLDER: images like those of the link", 2),
        (("build", "--precision", "int8", "--calibrate", "nowhere"), "no such folder", 2),
        (("bench", "--precision", "int8"), "semlink engine build --precision int8 --calibrate FOLDER", 5),
        (("bench", "--device", "abacus"), 'device "abacus" is not known', 2),
        (("build", "--backend", "tensorrt", "--device", "cpu"), "backend tensorrt runs on a GPU only", 2),
        (("bench", "--codec", "vq"), "has no codec vq", 2),
    ],
)
def test_what_cannot_be_is_said(
    small: Precisions, arguments: tuple[str, ...], words: str, code: int, tmp_path: Path
) -> None:
    error = engine(*arguments, "--model-set", small.models.folder, "--engines", tmp_path).exception
    assert isinstance(error, SemlinkError)
    assert error.exit_code == code
    assert words in str(error)


def test_images_that_cannot_be_read_are_skipped_and_too_few_are_refused(
    small: Precisions, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut = photos / "07.png"
    cut.write_bytes(cut.read_bytes()[:60])
    error = engine("build", "--precision", "int8", "--calibrate", photos, *where(small, tmp_path / "engines")).exception
    assert "at least 40 images, got 39" in str(error)
    assert "07.png" in caplog.text


def test_a_store_without_engines_says_so(small: Precisions, tmp_path: Path) -> None:
    listed = engine("info", *where(small, tmp_path)[:4])
    assert listed.stdout == "no engine was built for synthetic; semlink engine build\n"
    assert json.loads(engine("info", *where(small, tmp_path)[:4], "--json").stdout) == []


def test_an_engine_cut_short_is_marked(own: Precisions) -> None:
    listed = engine("info", *where(own)[:4]).stdout
    assert ("state" in listed, "whole" in listed, "damaged" in listed) == (True, True, False)
    for path in own.engines.glob("*int8*.engine"):
        path.write_bytes(path.read_bytes()[:100])
    assert "damaged" in engine("info", *where(own)[:4]).stdout


def test_images_lie_evenly_among_those_of_a_folder(
    small: Precisions, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders are often sorted by category: the first files alone would be of one."""
    read: list[str] = []
    load = engines.command.load_image
    monkeypatch.setattr(engines.command, "load_image", lambda path: read.append(path.stem) or load(path))
    engine("verify", photos, *where(small), "--precision", "fp16", "--limit", 4)
    assert read == ["00", "13", "26", "39"]


@pytest.mark.process
def test_an_engine_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    bench = ("engine", "bench", "--precision", "int8", "--engines", tmp_path)
    done = run_semlink(*bench, environment={"COLUMNS": "200"})
    assert done.returncode == 5
    assert "semlink engine build" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
