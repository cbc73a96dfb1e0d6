"""`semlink train codec`: from a folder of pictures to a model set that both ends can load."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from typer.testing import CliRunner

from engines.models.model_set import ModelSet
from semlink.errors import SemlinkError
from semlink.rates import parse_rate
from tests.support.deadlines import wait_until
from tests.support.processes import RunningProcess, start_semlink
from trainer.command import app


def start(cache: Path, *arguments: object) -> RunningProcess:
    return start_semlink(*arguments, environment={"SEMLINK_CACHE": str(cache)}, own_session=True)


def words_of(done: subprocess.CompletedProcess[str]) -> str:
    """What it wrote to standard error, on one line."""
    return " ".join(done.stderr.split())


@pytest.mark.process
def test_model_set_is_trained_and_loads(model_set: ModelSet, pictures_to_learn: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    settings = ("--codec", "kbsc", "--rate", "16,64", "--epochs", 2, "--jobs", 2)
    source = ("--data", pictures_to_learn, "--model-set", model_set.folder)
    with start(tmp_path / "cache", "train", "codec", *source, *settings, "--out", out) as process:
        done = process.finish()
    assert done.returncode == 0, done.stderr
    trained = ModelSet(out)
    assert [rate.num_symbols for rate in trained.codec().rates] == [16, 64]
    assert trained.encoder_fingerprint == model_set.encoder_fingerprint
    features = np.ones((1, 16), np.float32) / 4
    for rate in trained.codec().rates:
        latent = trained.codec().load_encoder(rate)(features)
        assert trained.codec().load_decoder(rate)(latent).shape == (1, 16)
    assert trained.codec().fingerprint(parse_rate("16")) != model_set.codec().fingerprint(parse_rate("16"))


MANY_RATES = "64,128,256,512,1024"


def start_long(cache: Path, model_set: ModelSet, pictures: Path, out: Path) -> RunningProcess:
    source = ("--data", pictures, "--model-set", model_set.folder, "--out", out)
    settings = ("--codec", "kbsc", "--rate", MANY_RATES, "--epochs", 6, "--jobs", 2)
    return start(cache, "train", "codec", *source, *settings)


def workers_of(process: RunningProcess) -> list[int]:
    """The training processes of a command, once they have been asked to start."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    numbers = []
    for number in map(int, children.read_text().split()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes():
                numbers.append(number)
    return numbers


def wait_for_its_children(process: RunningProcess) -> None:
    """Wait until every process of the command's own session is gone, perhaps a moment after the command itself."""

    def are_gone() -> bool:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(are_gone)


@pytest.mark.process
def test_ctrl_c_ends_it_and_the_next_start_goes_on(
    model_set: ModelSet, pictures_to_learn: Path, tmp_path: Path
) -> None:
    """Once while its workers start, and once while they train."""
    cache, out = tmp_path / "cache", tmp_path / "out"
    moments: list[Callable[[RunningProcess], object]] = [workers_of, lambda _: any(cache.glob("runs/*/checkpoint.pt"))]
    for is_the_moment in moments:
        with start_long(cache, model_set, pictures_to_learn, out) as process:
            process.until(functools.partial(is_the_moment, process))
            interrupted = process.interrupt()
            wait_for_its_children(process)
        assert interrupted.returncode == 130, interrupted.stderr
        assert "Traceback" not in interrupted.stderr
        assert not (out / "manifest.json").exists()
    with start_long(cache, model_set, pictures_to_learn, out) as process:
        done = process.finish()
    assert done.returncode == 0, done.stderr
    for log in cache.glob("runs/*/train.log"):
        epochs = re.findall(r"epoch (\d+) validation", log.read_text())
        # An epoch may have been validated and not yet kept.
        assert len(epochs) - len(set(epochs)) <= 1, log.read_text()


@pytest.mark.process
def test_ctrl_c_ends_an_evaluation_that_trains(model_set: ModelSet, pictures_to_learn: Path, tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out.json"
    source = ("--data", pictures_to_learn, "--model-set", model_set.folder, "--weights", "trained", "--out", out)
    grid = ("--codec", "kbsc,kbsc-reference", "--rate", "64,128", "--snr-db=0", "--num-seeds", 1, "--jobs", 2)
    with start(cache, "evaluate", *source, *grid) as process:
        process.until(lambda: any(cache.glob("runs/*/checkpoint.pt")))
        interrupted = process.interrupt()
        wait_for_its_children(process)
    assert interrupted.returncode == 130, interrupted.stderr
    assert not out.exists()


@pytest.mark.process
def test_full_disk_is_named(model_set: ModelSet, pictures_to_learn: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    cache = tmp_path / "cache"
    with start_long(cache, model_set, pictures_to_learn, tmp_path / "out") as process:
        process.until(lambda: any(cache.glob("runs/*/lock")))
        for lock in cache.glob("runs/*/lock"):
            for number in workers_of(process):
                part = lock.with_name(f".checkpoint.pt.{number}.part")
                part.unlink(missing_ok=True)
                part.symlink_to("/dev/full")
        done = process.finish()
        wait_for_its_children(process)
    assert done.returncode == 8, done.stderr
    assert "No space left" in words_of(done)
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_killed_worker_is_named_and_ends_the_others(
    model_set: ModelSet, pictures_to_learn: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with start_long(cache, model_set, pictures_to_learn, tmp_path / "out") as process:
        process.until(lambda: any(cache.glob("runs/*/checkpoint.pt")))
        os.kill(workers_of(process)[0], signal.SIGKILL)
        done = process.finish()
        wait_for_its_children(process)
    assert done.returncode == 5, done.stderr
    assert "a training process was killed" in words_of(done)


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--codec", "vq"), 'codec "vq" cannot be trained', 2),
        (("--rate", "17"), 'rate "17" is unknown', 2),
        (("--model-set", "nowhere"), "model set", 5),
        (("--precision", "fp8"), "fp8", 2),
    ],
)
def test_wrong_value_is_named(tmp_path: Path, arguments: tuple[str, ...], words: str, code: int) -> None:
    result = CliRunner().invoke(app, ["codec", "--out", str(tmp_path / "out"), *arguments])
    error = result.exception
    assert (error.exit_code if isinstance(error, SemlinkError) else result.exit_code) == code
    assert words in f"{result.output} {error}"
