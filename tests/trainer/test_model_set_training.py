"""Training of model sets: what is trained, what is refused, and what a failure leaves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from PIL import Image
from rich.console import Console
from rich.progress import Progress

from engines.models.codecs import NestedCodec, PerRateCodec
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, DatasetError, ModelSetError
from semlink.rates import parse_rate
from tests.support.codec_packages import InstallPackage
from trainer.model_set_training import ModelSetConfig, train_model_set


def train(out: Path, model_set: ModelSet, data: Path, **settings: Any) -> ModelSet:
    config = ModelSetConfig(
        out=out,
        model_set=str(model_set.folder),
        data=str(data),
        rates=(parse_rate("16"),),
        precision="fp32",
        **{"epochs": 1 if "kbsc" in settings.get("codecs", ()) else 60, "runs_dir": out.parent / "runs", **settings},
    )
    return train_model_set(config, progress=Progress(console=Console(quiet=True), disable=True))


def write_class_folders(folder: Path, *, classes: tuple[str, ...], images_per_class: int) -> Path:
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        colour = rng.integers(40, 216, 3)
        for index in range(images_per_class):
            pixels = np.clip(colour + rng.normal(0, 20, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_nested_codecs_of_a_folder(model_set: ModelSet, tmp_path: Path) -> None:
    """All images of a folder of class folders are training images."""
    pictures = write_class_folders(tmp_path / "pictures", classes=("boat", "cat"), images_per_class=250)
    trained = train(tmp_path / "mine", model_set, pictures, codecs=("nested", "nested-labels", "label"))
    nested, labels, label = trained.codecs
    assert (nested.name, labels.name, label.name) == ("nested", "nested-labels", "label")
    assert trained.encoder_fingerprint == model_set.encoder_fingerprint
    assert isinstance(nested, NestedCodec)
    assert isinstance(labels, NestedCodec)
    assert isinstance(label, NestedCodec)
    features = np.random.default_rng(1).standard_normal((200, 256)).astype(np.float32)
    codewords = np.unique(label.codebook.latent(features)[:, :256], axis=0)
    assert len(codewords) == 2, "every image is sent as the codeword of a category"
    assert set(np.unique(codewords)) == {-1, 1}
    assert 0.9 < nested.entry.measured["validation_accuracy_64_symbols_10_db"] <= 1.0
    projection = labels.load_projection_head()
    assert projection is not None
    assert projection.categories == ("boat", "cat")
    assert labels.codebook.num_cells == 2
    assert (nested.codebook.feature_dim, labels.codebook.feature_dim) == (16, 256)
    sources = [codec.entry.training_data.split("; ")[1] for codec in (nested, labels)]
    assert sources == ["no labels, no channel, seed 0", "labels, proxy loss, no channel, seed 0"]


def test_codec_is_added_to_the_encoders_own_set(model_set: ModelSet, pictures_to_learn: Path, tmp_path: Path) -> None:
    own = ModelSet(Path(shutil.copytree(model_set.folder, tmp_path / "own")))
    trained = train(own.folder, own, pictures_to_learn, codecs=("kbsc",), channel="rayleigh")
    assert [codec.name for codec in trained.codecs] == ["synthetic-codec", "kbsc"]
    kbsc = trained.codec("kbsc")
    assert isinstance(kbsc, PerRateCodec)
    assert kbsc.entry.training_data.endswith("; rayleigh, mse, seed 0")
    assert [rate.num_symbols for rate in kbsc.rates] == [16]


def test_failed_training_leaves_the_set_as_it_was(
    model_set: ModelSet, pictures_to_learn: Path, tmp_path: Path, install_package: InstallPackage
) -> None:
    """The second codec's fit fails, when `nested` is fitted already."""
    source = (
        "from semlink.errors import DatasetError\n"
        "from trainer.codecs.spec import CodecSpec\n"
        "def fit(keys, context):\n"
        "    raise DatasetError('features that no fit can use')\n"
        'SPEC = CodecSpec(name="theirs", summary="", links="os.path:join", fit=fit, is_trainable=True)\n'
    )
    install_package(source, theirs="SPEC")
    own = ModelSet(Path(shutil.copytree(model_set.folder, tmp_path / "own")))
    before = {path.name: path.read_bytes() for path in own.folder.iterdir()}
    with pytest.raises(DatasetError, match="features that no fit can use"):
        train(own.folder, own, pictures_to_learn, codecs=("nested", "theirs"))
    assert {path.name: path.read_bytes() for path in own.folder.iterdir()} == before


def test_too_few_images_are_refused_before_anything_is_encoded(model_set: ModelSet, tmp_path: Path) -> None:
    own = ModelSet(Path(shutil.copytree(model_set.folder, tmp_path / "own")))
    (own.folder / "encoder.onnx").unlink()
    pictures = write_class_folders(tmp_path / "pictures", classes=tuple("abcdefghij"), images_per_class=10)
    with pytest.raises(DatasetError, match=r"kbsc needs 1,280 training images.*13 training images of each category"):
        train(own.folder, own, pictures, codecs=("kbsc", "nested-labels"))


def test_another_model_set_is_not_overwritten(
    model_set: ModelSet, other_model_set: ModelSet, pictures_to_learn: Path
) -> None:
    before = (other_model_set.folder / "manifest.json").read_bytes()
    with pytest.raises(ModelSetError, match="is a model set already"):
        train(other_model_set.folder, model_set, pictures_to_learn)
    assert (other_model_set.folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"codecs": ("vq",)},
            'codec "vq" cannot be trained into a model set; choose from: nested, nested-cells, nested-labels,',
        ),
        ({"codecs": ("morse",)}, 'codec "morse" is unknown'),
        ({"codecs": ("nested",), "objective": "both"}, "--objective both is for kbsc, which --codec does not name"),
        (
            {"codecs": ("nested", "kbsc"), "projection_loss": "contrastive"},
            "--loss contrastive is for nested-labels",
        ),
        ({"codecs": ("nested", "label"), "channel": "rayleigh"}, "--channel rayleigh is for kbsc"),
        ({"codecs": ("label",), "epochs": 3}, "--epochs 3 is for kbsc"),
    ],
)
def test_settings_that_cannot_be_met_are_refused_first(
    model_set: ModelSet, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        train(tmp_path / "out", model_set, tmp_path / "nowhere", **settings)
    assert not (tmp_path / "out").exists()
