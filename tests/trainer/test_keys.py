"""Learning keys from labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

import torch

from engines.runner import load_runner
from semlink.channel import ChannelModel
from semlink.errors import ConfigError, DatasetError
from semlink.rates import parse_rate
from trainer.codecs.keys import KeyTraining, key_graph, train_key_network, trained_keys
from trainer.codecs.nested import NestedFit, fit_codebook
from trainer.codecs.training import TrainingFeatures
from trainer.evaluation.link import AirInterface, ReceiverKnowledge
from trainer.evaluation.metrics import CleanRetrieval
from trainer.evaluation.signal_link import SignalLink

DIM = 24
TRAINING = KeyTraining(key_dim=16, hidden_dim=32, epochs=12, batch_size=64, precision="fp32")


def images(num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight categories that differ in six dimensions of twenty-four; the rest is what they look like."""
    centres = np.random.default_rng(0).standard_normal((8, 6))
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 8, num_images)
    features = rng.standard_normal((num_images, DIM))
    features[:, :6] = centres[kinds] + 0.3 * rng.standard_normal((num_images, 6))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32), kinds


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return train_key_network(TRAINING, *images(2000, 1))


@pytest.fixture(scope="module")
def clean() -> CleanRetrieval:
    (sent, sent_kinds), (kept, kept_kinds) = images(400, 2), images(400, 3)
    return CleanRetrieval.of(sent, sent_kinds.astype(str), kept, kept_kinds.astype(str))


def test_graph_is_the_network_with_its_norm_folded(network: torch.nn.Module, clean: CleanRetrieval) -> None:
    with torch.no_grad():
        expected = network(torch.from_numpy(clean.features)).numpy()
    keys = load_runner(key_graph(network).SerializeToString())(clean.features)
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(keys, expected, atol=5e-3)  # weights are stored in fp16


def test_same_seed_same_network(network: torch.nn.Module) -> None:
    state = torch.random.get_rng_state()
    again = train_key_network(TRAINING, *images(2000, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert key_graph(again).SerializeToString() == key_graph(network).SerializeToString()


def test_keys_bring_a_category_together_and_both_codecs_gain(network: torch.nn.Module, clean: CleanRetrieval) -> None:
    keys = load_runner(key_graph(network).SerializeToString())
    learnt = images(2000, 1)[0]
    codebook = fit_codebook(keys(learnt), keys(images(500, 4)[0]), NestedFit(num_cells=16, unfamiliar_share=0.02))
    air, rate = AirInterface(ChannelModel.AWGN, 3.0, ReceiverKnowledge.NOTHING), parse_rate("32")
    for link in (
        SignalLink.nested(codebook, rate, clean, keys=keys),
        SignalLink.index(rate, clean, seed=0, keys=keys),
    ):
        accuracy = link.retrieve(clean, air, np.random.default_rng(0)).semantic_accuracy
        assert accuracy > clean.ideal_accuracy + 0.1, link.name


def test_run_is_kept_and_bound_to_its_data(tmp_path: Path) -> None:
    features, kinds = images(2000, 1)
    quick = KeyTraining(key_dim=4, hidden_dim=8, epochs=1, batch_size=64, precision="fp32")
    first = trained_keys(quick, TrainingFeatures(features, kinds, "made up", "key"), tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = trained_keys(quick, TrainingFeatures(features, kinds, "made up", "key"), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept
    np.testing.assert_array_equal(first(features[:3]), again(features[:3]))
    trained_keys(quick, TrainingFeatures(features, kinds, "made up", "another"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_bad_data_is_named() -> None:
    features, kinds = images(2000, 1)
    with pytest.raises(DatasetError, match="at least 2 categories, got 1"):
        train_key_network(TRAINING, features, np.zeros(2000, np.int64))
    with pytest.raises(DatasetError, match="too few"):
        train_key_network(TRAINING, features[:100], kinds[:100])
    features[5, 5] = np.inf
    with pytest.raises(DatasetError, match="not finite"):
        train_key_network(TRAINING, features, kinds)
    with pytest.raises(ConfigError, match="temperature"):
        KeyTraining(temperature=0.0)
