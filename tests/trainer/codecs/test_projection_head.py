"""Training projection heads on labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

import torch

from engines.backends.runner import load_runner
from engines.models.projection_head import ProjectionHead
from semlink.errors import ConfigError, DatasetError
from tests.support.retrieval import eight_categories
from trainer.codecs.projection_head import (
    ProjectionNetwork,
    ProjectionTraining,
    contrastive_loss,
    projection_graph,
    train_projection_network,
    trained_projection,
)
from trainer.codecs.training_data import TrainingFeatures
from trainer.links.retrieval import NoiselessRetrieval

TRAINING = ProjectionTraining(projection_dim=16, hidden_dim=32, epochs=12, batch_size=64, precision="fp32")


@pytest.fixture(scope="module")
def trained() -> tuple[ProjectionNetwork, np.ndarray]:
    return train_projection_network(TRAINING, *eight_categories(2000, 1), num_categories=8)


@pytest.fixture(scope="module")
def model(trained: tuple[ProjectionNetwork, np.ndarray]) -> ProjectionHead:
    network, proxies = trained
    return ProjectionHead(load_runner(projection_graph(network).SerializeToString()), tuple("01234567"), proxies)


@pytest.fixture(scope="module")
def noiseless() -> NoiselessRetrieval:
    (sent, sent_kinds), (kept, kept_kinds) = eight_categories(400, 2), eight_categories(400, 3)
    return NoiselessRetrieval.of(sent, sent_kinds.astype(str), kept, kept_kinds.astype(str))


def test_graph_is_the_network_with_its_norm_folded(
    trained: tuple[ProjectionNetwork, np.ndarray], model: ProjectionHead, noiseless: NoiselessRetrieval
) -> None:
    with torch.no_grad():
        expected = trained[0](torch.from_numpy(noiseless.features)).numpy()
    projection = model.project_images(noiseless.features)
    np.testing.assert_allclose(np.linalg.norm(projection, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(projection, expected, atol=5e-3)  # weights are stored in fp16


def test_same_seed_same_network(trained: tuple[ProjectionNetwork, np.ndarray]) -> None:
    state = torch.random.get_rng_state()
    again, proxies = train_projection_network(TRAINING, *eight_categories(2000, 1), num_categories=8)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert projection_graph(again).SerializeToString() == projection_graph(trained[0]).SerializeToString()
    np.testing.assert_array_equal(proxies, trained[1])


def test_label_moves_an_entry_to_its_proxy_and_an_unknown_label_does_not(
    model: ProjectionHead, noiseless: NoiselessRetrieval
) -> None:
    features = noiseless.features
    seen = model.project_images(features)
    own = model.proxies[noiseless.labels.astype(int)]
    projection = model.project_entries(features, noiseless.labels.tolist())
    assert (np.sum(projection * own, axis=1) >= np.sum(seen * own, axis=1) - 1e-5).all()
    np.testing.assert_allclose(np.linalg.norm(projection, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(model.project_entries(features, ["an unknown label"] * len(features)), seen, atol=1e-6)


def test_run_is_kept_and_bound_to_its_data(tmp_path: Path) -> None:
    features, kinds = eight_categories(2000, 1)
    quick = ProjectionTraining(projection_dim=4, hidden_dim=8, epochs=1, batch_size=64, precision="fp32")
    data = TrainingFeatures(features, kinds, "made up", "key", tuple("01234567"))
    first = trained_projection(quick, data, tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix != ".lock"}
    again = trained_projection(quick, data, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix != ".lock"} == kept
    np.testing.assert_array_equal(first.project_images(features[:3]), again.project_images(features[:3]))
    np.testing.assert_array_equal(first.proxies, again.proxies)
    for other in (
        replace(data, content_key="another"),
        replace(data, labels=kinds[::-1].copy()),
        replace(data, categories=tuple("abcdefgh")),
    ):
        trained_projection(quick, other, tmp_path)
    assert len(list(tmp_path.glob("*.onnx"))) == 4


def test_interrupted_training_ends_like_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is stopped: no partial file is used, and the next start gives the same projection."""
    features, labels = eight_categories(600, 1)
    data = TrainingFeatures(features, labels, "clusters", "key", tuple("abcdefgh"))
    quick = ProjectionTraining(projection_dim=4, hidden_dim=8, epochs=2, batch_size=64, precision="fp32")
    whole = trained_projection(quick, data, tmp_path / "whole")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("functional.normalize", "projection_graph"):
        with monkeypatch.context() as patched:
            patched.setattr(f"trainer.codecs.projection_head.{step}", stop)
            with pytest.raises(KeyboardInterrupt):
                trained_projection(quick, data, tmp_path / "stopped")
    resumed = trained_projection(quick, data, tmp_path / "stopped")
    np.testing.assert_array_equal(resumed.proxies, whole.proxies)
    np.testing.assert_array_equal(resumed.project_images(features), whole.project_images(features))


def test_bad_data_is_named() -> None:
    features, kinds = eight_categories(2000, 1)
    with pytest.raises(DatasetError, match="at least 2 categories"):
        train_projection_network(TRAINING, features, np.zeros(2000, np.int64), num_categories=8)
    with pytest.raises(DatasetError, match="too few"):
        train_projection_network(TRAINING, features[:100], kinds[:100], num_categories=8)
    features[5, 5] = np.inf
    with pytest.raises(DatasetError, match="not finite"):
        train_projection_network(TRAINING, features, kinds, num_categories=8)
    with pytest.raises(ConfigError, match="temperature"):
        ProjectionTraining(temperature=0.0)


def testcontrastive_loss_is_that_of_its_definition() -> None:
    projection = torch.nn.functional.normalize(torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    targets = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 1, 2, 3, 4])
    losses = []
    for i in range(10):  # the last two are alone in their categories, and do not count
        others = [j for j in range(12) if j != i]
        total = sum(torch.exp(projection[i] @ projection[j] / 0.2) for j in others)
        alike = [j for j in others if targets[j] == targets[i]]
        losses.append(
            -sum(torch.log(torch.exp(projection[i] @ projection[j] / 0.2) / total) for j in alike) / len(alike)
        )
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(contrastive_loss(projection, targets, 0.2), expected)


def test_contrastive_training_separates_too(noiseless: NoiselessRetrieval) -> None:
    training = msgspec.structs.replace(TRAINING, loss="contrastive")
    network, proxies = train_projection_network(training, *eight_categories(2000, 1), num_categories=8)
    with torch.no_grad():
        projection = network(torch.from_numpy(noiseless.features)).numpy()
    classified = (projection @ proxies.T).argmax(axis=1).astype(str)
    assert np.mean(classified == noiseless.labels) > 0.85
    np.testing.assert_allclose(np.linalg.norm(proxies, axis=1), 1.0, rtol=1e-5)
