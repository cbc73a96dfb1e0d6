"""Encoders by name: this package's, and those that installed packages add."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, MissingDependencyError
from semlink.files import try_lock
from tests.support.codec_packages import InstallPackage
from tests.support.encoders import FEATURE_DIM, write_image_graph
from trainer.encoders.callable_encoder import CallableEncoder
from trainer.encoders.onnx_encoder import OnnxEncoder
from trainer.encoders.registry import ENTRY_POINT_GROUP, encoder_names, load_encoder, open_encoder

SOURCE = """
from pathlib import Path

from semlink.image import Preprocessing
from trainer.encoders.callable_encoder import CallableEncoder
from trainer.encoders.onnx_encoder import OnnxEncoder

corners = CallableEncoder(
    name="corners",
    function=lambda images: images[:, :2, :2].reshape(len(images), -1) + 1.0,
    feature_dim=12,
    preprocessing=Preprocessing(8),
    version="1",
)

def graph():
    return OnnxEncoder(name="graph", graph=Path(__file__).with_name("graph.onnx"), licence="none")

def broken():
    raise ValueError("no weights here")

number = 42
"""


@pytest.fixture
def package(tmp_path: Path, install_package: InstallPackage) -> Path:
    """A package with an encoder that is a function, one that is a graph, and three that are none."""
    write_image_graph(tmp_path / "graph.onnx", dtype="uint8")
    parts = {"broken": "broken", "corners": "corners", "graph": "graph", "number": "number", "missing": "missing"}
    install_package(SOURCE, group=ENTRY_POINT_GROUP, **parts)
    return tmp_path


def test_installed_encoders_are_found_by_name(package: Path) -> None:
    assert {"builtin", "clip-vit-b32", "corners", "graph"} <= {*encoder_names()}
    corners, graph = load_encoder("corners"), load_encoder("graph")
    assert isinstance(corners, CallableEncoder)
    assert isinstance(graph, OnnxEncoder)


@pytest.mark.parametrize("name", ["corners", "graph"])
def test_a_found_encoder_encodes(package: Path, name: str) -> None:
    encoder = open_encoder(load_encoder(name))
    images = [np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)] * 2
    assert (encoder.name, encoder.feature_dim) == (name, FEATURE_DIM)
    assert encoder.encode(images).shape == (2, FEATURE_DIM)
    assert len(encoder.fingerprint) == 64


def test_graph_in_the_cache_is_locked_until_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two encoders of one name have one folder, so a second process waits until the first has loaded its graph."""
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    write_image_graph(tmp_path / "graph.onnx", dtype="uint8")
    write, is_locked = OnnxEncoder.write, []

    def write_and_try(self: OnnxEncoder, folder: Path) -> ModelSet:
        models = write(self, folder)
        with (folder / "lock").open("wb") as file:
            is_locked.append(not try_lock(file.fileno()))
        return models

    monkeypatch.setattr(OnnxEncoder, "write", write_and_try)
    open_encoder(OnnxEncoder(name="vendor/graph", graph=tmp_path / "graph.onnx", licence="none"))
    assert is_locked == [True]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", 'encoder "number": expected an EncoderNetwork, OnnxEncoder or CallableEncoder, .*got int'),
        ("missing", 'encoder "missing": .*:missing cannot be loaded: '),
        ("broken", 'encoder "broken": .*:broken cannot be loaded: no weights here'),
        (
            "resnet",
            r'encoder "resnet" is unknown; choose from: builtin, clip-vit-b32, .*, broken, corners, graph, missing',
        ),
    ],
)
def test_names_that_are_no_encoder(package: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_encoder(name)


@pytest.mark.parametrize("name", ["builtin", "corners"])
def test_weights_are_for_clip_alone(package: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f'--weights is for clip-vit-b32 and .*, not for "{name}"'):
        load_encoder(name, weights=package / "weights.pt")


@pytest.mark.parametrize("name", ["builtin", "clip-vit-b32"])
def test_without_torch_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [module for module in sys.modules if module.startswith("trainer.encoders.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=rf'encoder "{name}" needs torch; .*\[train\]'):
        load_encoder(name)
