"""Vector quantizers fitted to features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.errors import DatasetError
from semlink.rates import parse_rate
from tests.support.retrieval import clustered, clustered_training_data
from trainer.codecs.config import QuantizerConfig
from trainer.codecs.quantizer import fitted_quantizer
from trainer.codecs.spec import FitKey
from trainer.codecs.table import find_codec
from trainer.codecs.training_data import TrainingFeatures


def key(codec: str, seed: int = 0) -> FitKey:
    return find_codec(codec).fit_key(parse_rate("16"), seed, "awgn")


@pytest.fixture(scope="module")
def data() -> TrainingFeatures:
    return clustered_training_data(3000, spread=0.15)


@pytest.mark.parametrize("name", ["vq", "vq-residual", "vq-product"])
def test_more_stages_lose_less(name: str, data: TrainingFeatures, tmp_path: Path) -> None:
    quantizer, (features, _) = fitted_quantizer(key(name), data, tmp_path), clustered(300, spread=0.15, seed=1)
    num_stages = 1 if name == "vq" else 8
    errors = []
    for stages in range(1, num_stages + 1):
        decoded = quantizer.dequantize(quantizer.quantize(features, stages))
        errors.append(float(np.mean(np.sum((decoded - features) ** 2, axis=1))))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < {"vq": 0.4, "vq-residual": 0.1, "vq-product": 0.2}[name]


def test_product_quantizes_each_dimension_once(data: TrainingFeatures, tmp_path: Path) -> None:
    centres = fitted_quantizer(key("vq-product"), data, tmp_path).centres
    used = np.abs(centres).max(axis=1) > 0
    assert (used.sum(axis=0) == 1).all()


def test_fit_is_kept_and_bound_to_its_data(data: TrainingFeatures, tmp_path: Path) -> None:
    first = fitted_quantizer(key("vq"), data, tmp_path)
    (path,) = tmp_path.glob("*.npz")
    written_ns = path.stat().st_mtime_ns
    again = fitted_quantizer(key("vq"), data, tmp_path)
    assert path.stat().st_mtime_ns == written_ns
    np.testing.assert_array_equal(first.centres, again.centres)
    fitted_quantizer(key("vq", seed=1), data, tmp_path)
    fitted_quantizer(key("vq"), replace(data, content_key="another"), tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_files_of_earlier_fits_are_found(data: TrainingFeatures, tmp_path: Path) -> None:
    fitted_quantizer(key("vq-residual", seed=2), replace(data, content_key="key"), tmp_path)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["vq-residual-seed2-6544c2678a.npz"]


def test_size_is_that_of_the_codecs_entry(data: TrainingFeatures, tmp_path: Path) -> None:
    codec = replace(find_codec("vq"), name="mine", fit_config=QuantizerConfig(num_cells=12, num_stages=3))
    quantizer = fitted_quantizer(codec.fit_key(parse_rate("16"), 0, "awgn"), data, tmp_path)
    assert quantizer.centres.shape[:2] == (3, 12)


def test_too_few_images_are_refused(data: TrainingFeatures, tmp_path: Path) -> None:
    few = replace(data, features=data.features[:20], labels=data.labels[:20])
    with pytest.raises(DatasetError, match="too few"):
        fitted_quantizer(key("vq"), few, tmp_path)
