"""Accuracy of the built-in model set: the documented figures on whole datasets, and its own on a part of CIFAR-100."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from engines.models.model_set import ModelSet
from semlink.report import read_report
from tests.support.processes import start_semlink
from trainer.datasets.base import write_folder
from trainer.datasets.cifar100 import open_split
from trainer.evaluation import EvaluationConfig, EvaluationReport, evaluate

CIFAR100 = Path(os.environ.get("SEMLINK_DATA", "nowhere")) / "cifar-100-binary"
needs_cifar100 = pytest.mark.skipif(
    not (CIFAR100 / "test.bin").is_file(), reason="SEMLINK_DATA has no cifar-100-binary folder"
)


CODES = ("nested", "nested-cells")


def check_accuracy(report: EvaluationReport, expected: dict[str, dict[float, tuple[float, float]]]) -> None:
    """Compare a summary with accuracies by codec and SNR [dB], each with its tolerance."""
    measured = {(cell.codec, cell.snr_db): cell.semantic_accuracy for cell in report.summary}
    assert measured == {
        (codec, snr_db): pytest.approx(accuracy, abs=tolerance)
        for codec, by_snr in expected.items()
        for snr_db, (accuracy, tolerance) in by_snr.items()
    }


def evaluated_by_command(out: Path, *options: object) -> EvaluationReport:
    """Report of `semlink evaluate`, which encodes thousands of images and is waited for as long as a test may take."""
    with start_semlink("evaluate", "--weights", "model-set", "--jobs", 1, *options, "--out", out) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    return read_report(out, EvaluationReport)


@needs_cifar100
@pytest.mark.process
def test_documented_accuracy_on_cifar100(tmp_path: Path) -> None:
    """As docs/results.md has it, at 64 symbols and without noise."""
    grid = ("--codec", ",".join(CODES), "--limit", 1000, "--num-seeds", 2, "--snr-db=-7,10")
    report = evaluated_by_command(tmp_path / "report.json", "--data", "cifar100", *grid)
    # Four standard errors of 1,000 images.
    assert report.noiseless_accuracy == pytest.approx(0.542, abs=0.063)
    check_accuracy(
        report,
        {
            "nested": {-7.0: (0.297, 0.058), 10.0: (0.530, 0.063)},
            "nested-cells": {-7.0: (0.466, 0.063), 10.0: (0.535, 0.063)},
        },
    )


@pytest.mark.process
def test_measured_accuracy_on_digits(tmp_path: Path) -> None:
    """As the model set's manifest has it, of all digits."""
    report = evaluated_by_command(
        tmp_path / "report.json", "--data", "digits", "--codec", "index", "--num-seeds", 1, "--snr-db=10"
    )
    measured = ModelSet.find("builtin").manifest.encoder.measured["digits_1nn_accuracy"]
    assert report.noiseless_accuracy > 0.7
    assert report.noiseless_accuracy == pytest.approx(measured, abs=0.02)


@needs_cifar100
def test_accuracy_on_twenty_categories_of_cifar100(tmp_path: Path) -> None:
    """Of 20 images each: half are sent, half are the knowledge base."""
    images = open_split(CIFAR100, "test")
    labels = np.asarray(images.labels)
    rows = [np.flatnonzero(labels == category)[:20] for category in np.unique(labels)[::5]]
    write_folder(images.subset(np.concatenate(rows)), tmp_path / "twenty")
    report = evaluate(
        EvaluationConfig(data=str(tmp_path / "twenty"), codecs=CODES, weights="model-set", num_seeds=2, snr_db=(-7, 10))
    )
    # Images and seeds are always the same; another processor's rounding may change the match of three images of 200.
    assert report.noiseless_accuracy == pytest.approx(0.69, abs=0.015)
    # Means of ten seeds, whose standard deviations are 0.010 to 0.022; four standard errors of a mean of two.
    check_accuracy(
        report,
        {
            "nested": {-7.0: (0.46, 0.046), 10.0: (0.73, 0.052)},
            "nested-cells": {-7.0: (0.60, 0.06), 10.0: (0.67, 0.03)},
        },
    )
