"""Accuracy of an encoder in its manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs semlink[demo]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from engines.models.model_set import ModelSet
from tests.support.encoders import write_image_graph
from trainer.datasets import ImageList
from trainer.datasets.base import Dataset
from trainer.encoders.measure import measure_model_set, retrieval_accuracy
from trainer.encoders.onnx_encoder import OnnxEncoder


def dataset_of(sent: list[str], knowledge_base: list[str]) -> Dataset:
    sent_images, kb_images = (
        ImageList(tuple(map(str, range(len(labels)))), tuple(labels), lambda index: np.zeros((1, 1, 3), np.uint8), "")
        for labels in (sent, knowledge_base)
    )
    return Dataset("three", sent_images, kb_images, None, "the labels agree")


def test_accuracy_is_the_fraction_of_equal_labels() -> None:
    axes = np.eye(3, dtype=np.float32)
    dataset = dataset_of(["a", "b", "c"], ["a", "b", "a"])
    assert retrieval_accuracy(dataset, axes, axes) == pytest.approx(2 / 3)
    assert retrieval_accuracy(dataset, axes[[2, 1, 0]], axes) == pytest.approx(2 / 3)


def test_an_encoder_is_written_and_measured(tmp_path: Path) -> None:
    graph = write_image_graph(tmp_path / "graph.onnx", dtype="uint8")
    encoder = OnnxEncoder(name="mine", graph=graph, licence="none")
    entry = measure_model_set(encoder.write(tmp_path / "set"), ["digits"])
    assert ModelSet(tmp_path / "set").manifest.encoder == entry
    # A random projection of digits of 8 x 8 pixels: far better than guessing one of ten.
    assert 0.5 < entry.measured["digits_1nn_accuracy"] <= 1
    again = measure_model_set(ModelSet(tmp_path / "set"), ["digits"])
    assert again.measured == entry.measured
