"""`semlink train codec`: from a folder of pictures to a model set that both ends can load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from engines.modelset import ModelSet
from semlink.rates import parse_rate

DEADLINE_S = 240.0
NUM_TRAIN = 1300


@pytest.fixture(scope="module")
def pictures_to_learn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds train/<class> and test/<class>, of tiny pictures."""
    folder = tmp_path_factory.mktemp("learn")
    rng = np.random.default_rng(0)
    for split, num_images in (("train", NUM_TRAIN), ("test", 20)):
        for index in range(num_images):
            path = folder / split / f"class{index % 4}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 60, (8, 8, 3)) + 60 * (index % 4)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def start(cache: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "semlink", "train", "codec", *map(str, arguments)]
    environment = {**os.environ, "SEMLINK_CACHE": str(cache)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=DEADLINE_S)
    return " ".join(errors.split())


def test_model_set_is_trained_and_loads(model_set: ModelSet, pictures_to_learn: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    settings = ("--num-symbols", "16,64", "--epochs", 2, "--jobs", 2)
    source = ("--data", pictures_to_learn, "--model-set", model_set.folder)
    with start(tmp_path / "cache", *source, *settings, "--out", out) as process:
        errors = finish(process)
    assert process.returncode == 0, errors
    trained = ModelSet(out)
    assert [rate.num_symbols for rate in trained.rates] == [16, 64]
    assert trained.encoder_fingerprint == model_set.encoder_fingerprint
    features = np.ones((1, 16), np.float32) / 4
    for rate in trained.rates:
        latent = trained.load_codec_encoder(rate)(features)
        assert trained.load_codec_decoder(rate)(latent).shape == (1, 16)
    assert trained.fingerprint(parse_rate("16")) != model_set.fingerprint(parse_rate("16"))


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--data", "digits"), "no images to train on", 4),
        (("--num-symbols", "17"), "rate", 2),
        (("--model-set", "nowhere"), "model set", 5),
        (("--precision", "fp8"), "fp8", 2),
    ],
)
def test_bad_arguments_get_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str, code: int) -> None:
    with start(tmp_path / "cache", "--out", tmp_path / "out", *arguments) as process:
        errors = finish(process)
    assert process.returncode == code, errors
    assert words in errors
    assert "Traceback" not in errors


def test_another_model_set_is_not_written_over(model_set: ModelSet, other_model_set: ModelSet, tmp_path: Path) -> None:
    before = (other_model_set.folder / "manifest.json").read_bytes()
    with start(tmp_path / "cache", "--model-set", model_set.folder, "--out", other_model_set.folder) as process:
        errors = finish(process)
    assert process.returncode == 5
    assert "is a model set already" in errors
    assert (other_model_set.folder / "manifest.json").read_bytes() == before
