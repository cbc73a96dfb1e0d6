"""Validation of a fitted code within its training set."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from tests.support.retrieval import clustered_training_data
from trainer.codecs.nested import NestedModel
from trainer.codecs.nested_cells import CellsFit, fit_codebook
from trainer.evaluation.validation import validation_accuracy


def test_accuracy_is_of_images_that_were_not_fitted_and_rises_with_snr() -> None:
    data = clustered_training_data(2000)
    model = NestedModel(fit_codebook(data.features[:1600], data.features[1600:], CellsFit(num_cells=40)))
    measured = validation_accuracy(model, data, seed=0)
    assert list(measured) == [
        "validation_noiseless",
        *(f"validation_accuracy_64_symbols_{db}_db" for db in (-7, 0, 10)),
    ]
    noiseless, *accuracies = measured.values()
    assert accuracies == sorted(accuracies)
    assert accuracies[-1] == pytest.approx(noiseless, abs=0.05)
    assert measured == validation_accuracy(model, data, seed=0)
