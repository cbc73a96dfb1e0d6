"""From torch to ONNX and a model set, whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import EngineError, ModelSetError
from semlink.image import Preprocessing
from tests.support.encoders import toy_encoder
from trainer.encoders.export import build_graph_module, check_parity, export_encoder


def test_an_exported_network_is_a_model_set(tmp_path: Path) -> None:
    toy = toy_encoder()
    model_set = toy.write(tmp_path)
    images = [np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)] * 3
    got = ImageEncoder(model_set).encode(images)
    with torch.no_grad():
        pixels = (torch.from_numpy(np.stack(images)) - torch.tensor(toy.mean)) / torch.tensor(toy.std)
        expected = nn.functional.normalize(toy.network(pixels.permute(0, 3, 1, 2)), dim=1).numpy()
    np.testing.assert_allclose(got, expected, atol=2e-3)
    fp16 = [tensor for tensor in onnx.load(model_set.encoder_path).graph.initializer if tensor.data_type == 10]
    assert {tuple(tensor.dims) for tensor in fp16} == {(64, 3, 3, 3), (20, 64)}
    again = toy.write(tmp_path / "again")
    assert again.encoder_fingerprint == model_set.encoder_fingerprint
    assert not list(tmp_path.rglob("*.part"))


def test_an_export_that_differs_from_torch_is_refused() -> None:
    model, other = export_encoder(toy_encoder()), build_graph_module(toy_encoder())
    with torch.no_grad():
        other.network[0].weight.mul_(-1)
    with pytest.raises(EngineError, match=r"toy: exported graph and torch agree to a cosine of .* at least 0\.9999"):
        check_parity(model, other, name="toy", size_px=16)


def test_a_folder_with_codecs_keeps_its_encoder(model_set: ModelSet, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_set.folder, tmp_path / "set"))
    with pytest.raises(ModelSetError, match="codecs trained for another encoder; name another folder"):
        toy_encoder().write(folder)
    assert ModelSet(folder).encoder_fingerprint == model_set.encoder_fingerprint
    assert ModelSet(folder).encoder_path.is_file()


def test_preprocessing_is_in_the_manifest(tmp_path: Path) -> None:
    model_set = replace(toy_encoder(), interpolation="bilinear").write(tmp_path)
    assert model_set.manifest.encoder.preprocessing == Preprocessing(16, "bilinear")
