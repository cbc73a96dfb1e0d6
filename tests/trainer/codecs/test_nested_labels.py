"""Nested codes of projected features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from rich.console import Console
from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import DatasetError
from semlink.rates import parse_rate
from tests.support.conditions import awgn
from tests.support.retrieval import eight_categories
from tests.support.vectors import unit
from trainer.codecs.config import LabelsConfig
from trainer.codecs.fitting import FittingContext
from trainer.codecs.nested_labels import FittedProjection, fit_labelled, fitted_nested_labels, fitted_projection
from trainer.codecs.table import find_codec
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.base import ImageList
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.signal_link import SignalLink


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def data() -> TrainingFeatures:
    return TrainingFeatures(*eight_categories(3000, 1), "made up", "key", tuple("01234567"))


@pytest.fixture(scope="module")
def projection(data: TrainingFeatures, runs: Path) -> FittedProjection:
    return fitted_projection(0, data, runs, precision="fp32")


def test_projection_improves_both_codecs(data: TrainingFeatures, projection: FittedProjection, runs: Path) -> None:
    (sent, sent_kinds), (kept, kept_kinds) = eight_categories(400, 2), eight_categories(400, 3)
    noiseless = NoiselessRetrieval.of(sent, sent_kinds.astype(str), kept, kept_kinds.astype(str))
    codebook = fitted_nested_labels(0, data, projection, runs)
    assert codebook.num_cells == 8
    rate, head = parse_rate("32"), projection.model
    links = {
        "nested-labels": SignalLink.nested(codebook, rate, noiseless, projection=head),
        "index-labels": SignalLink.index(rate, noiseless, seed=0, projection=head),
    }
    for name, link in links.items():
        accuracy = link.retrieve(noiseless, awgn(3.0), np.random.default_rng(0)).semantic_accuracy
        assert accuracy > noiseless.accuracy + 0.1, name


def test_label_alone_sends_one_of_as_many_codewords_as_categories(
    data: TrainingFeatures, projection: FittedProjection, runs: Path
) -> None:
    codebook = fitted_nested_labels(0, data, projection, runs, label_alone=True)
    others = unit(np.random.default_rng(1).standard_normal((200, 256)))
    codewords = np.unique(codebook.latent(others)[:, :256], axis=0)
    assert len(codewords) <= 8
    assert set(np.unique(codewords)) == {-1, 1}


def test_what_a_codec_sends_is_decided_by_its_config(
    model_set: ModelSet, data: TrainingFeatures, projection: FittedProjection, runs: Path
) -> None:
    codec = replace(find_codec("nested-labels"), name="mine", fit_config=LabelsConfig(label_alone=True))
    key = codec.fit_key(parse_rate("32"), 0, "awgn")
    context = FittingContext(
        data=data,
        images=ImageList.of_arrays([], [], []),
        encoder=ImageEncoder(model_set),
        runs=runs,
        progress=Progress(console=Console(quiet=True), disable=True),
        precision="fp32",
    )
    fitted = fit_labelled([key], context)[key].model.codebook
    assert fitted.to_bytes() == fitted_nested_labels(0, data, projection, runs, label_alone=True).to_bytes()
    assert fitted.to_bytes() != fitted_nested_labels(0, data, projection, runs).to_bytes()


def test_too_few_images_of_each_category_are_refused(data: TrainingFeatures, tmp_path: Path) -> None:
    few = replace(data, features=data.features[:100], labels=data.labels[:100])
    with pytest.raises(DatasetError, match="13 training images of each category, got 100 images of 8"):
        fitted_projection(0, few, tmp_path, precision="fp32")
