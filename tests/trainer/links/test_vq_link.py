"""The digital references: numbers sent as codewords, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.channel import ChannelModel
from semlink.errors import ConfigError, DatasetError
from semlink.rates import parse_rate
from trainer.codecs.training_data import TrainingFeatures
from trainer.links.graph_link import CodecGraphs, Csi, LinkConditions
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.vq_link import QUANTIZERS, VqLink, fitted_quantizer

DIM, CLASSES = 16, 10


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


RNG = np.random.default_rng(0)
CENTRES = unit(RNG.standard_normal((CLASSES, DIM)))
LABELS = RNG.integers(0, CLASSES, 3600)
FEATURES = unit(CENTRES[LABELS] + 0.15 * RNG.standard_normal((3600, DIM)))
NAMES = tuple(f"class {i}" for i in range(CLASSES))


@pytest.fixture(scope="module")
def noiseless() -> NoiselessRetrieval:
    names = np.asarray(NAMES)[LABELS]
    return NoiselessRetrieval.of(FEATURES[3000:3300], names[3000:3300], FEATURES[3300:], names[3300:])


@pytest.fixture(scope="module")
def training_data() -> TrainingFeatures:
    return TrainingFeatures(FEATURES[:3000], LABELS[:3000], "clusters", "clusters", NAMES)


def conditions(snr_db: float) -> LinkConditions:
    return LinkConditions(ChannelModel.AWGN, snr_db, Csi.NOTHING)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_more_stages_lose_less(
    name: str, training_data: TrainingFeatures, noiseless: NoiselessRetrieval, tmp_path: Path
) -> None:
    quantizer = fitted_quantizer(name, 0, training_data, tmp_path)
    num_stages = 1 if name == "vq" else 8
    errors = []
    for stages in range(1, num_stages + 1):
        decoded = quantizer.decode(quantizer.encode(noiseless.features, stages))
        errors.append(float(np.mean(np.sum((decoded - noiseless.features) ** 2, axis=1))))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < {"vq": 0.4, "vq-residual": 0.1, "vq-product": 0.2}[name]


@pytest.mark.parametrize("name", QUANTIZERS)
def test_quiet_numbers_arrive_and_loud_noise_destroys_them(
    name: str, training_data: TrainingFeatures, noiseless: NoiselessRetrieval, tmp_path: Path
) -> None:
    link = VqLink.of(name, fitted_quantizer(name, 0, training_data, tmp_path), parse_rate("128"), seed=0)
    assert link.codewords.shape[0] == (1 if name == "vq" else 8)
    np.testing.assert_allclose(np.mean(link.codewords**2, axis=2), 0.5, rtol=1e-5)
    quiet, loud = (link.retrieve(noiseless, conditions(snr_db), np.random.default_rng(0)) for snr_db in (10.0, -25.0))
    assert quiet.semantic_accuracy > noiseless.noiseless_accuracy - 0.1
    assert loud.semantic_accuracy < 0.4


def test_fit_is_kept_and_found_again(training_data: TrainingFeatures, tmp_path: Path) -> None:
    first = fitted_quantizer("vq", 0, training_data, tmp_path)
    (path,) = tmp_path.iterdir()
    written_ns = path.stat().st_mtime_ns
    again = fitted_quantizer("vq", 0, training_data, tmp_path)
    assert path.stat().st_mtime_ns == written_ns
    np.testing.assert_array_equal(first.centres, again.centres)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    few = TrainingFeatures(FEATURES[:20], LABELS[:20], "few", "few", NAMES)
    with pytest.raises(DatasetError, match="too few"):
        fitted_quantizer("vq", 0, few, tmp_path)


def test_uncoded_is_the_features_themselves(noiseless: NoiselessRetrieval) -> None:
    link = CodecGraphs.uncoded(parse_rate("8"), DIM)
    scores = link.retrieve(noiseless, conditions(40.0), np.random.default_rng(0))
    assert scores.mean_cosine == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ConfigError, match="uncoded sends the features as they are: 8 symbols, not 16"):
        CodecGraphs.uncoded(parse_rate("16"), DIM)
