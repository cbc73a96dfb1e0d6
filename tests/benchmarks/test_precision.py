"""Precisions of the image encoder, on a few digits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[demo]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from rich.console import Console
from rich.progress import Progress

from benchmarks.precision import SNR_DB, encode, measure
from engines.graphs.quantize import at_precision
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from engines.options import Precision
from trainer.datasets import open_dataset
from trainer.links.retrieval import NoiselessRetrieval


def test_fp16_is_measured_beside_fp32() -> None:
    models = ModelSet.find("builtin")
    encoder, digits = ImageEncoder(models), open_dataset("digits")
    sent, kb = digits.sent.spread(12), digits.knowledge_base.spread(40)
    with Progress(console=Console(quiet=True), disable=True) as progress:
        reference, features, entries = (
            encode(at_precision(models.encoder_path, precision).SerializeToString(), encoder, images, progress, "x")
            for precision, images in ((Precision.FP32, sent), (Precision.FP16, sent), (Precision.FP32, kb))
        )
    assert np.allclose(reference[3], encoder.encode([sent.image(3)])[0], atol=1e-4)
    noiseless = NoiselessRetrieval.of(features, np.asarray(sent.labels), entries, np.asarray(kb.labels))
    row = measure("fp16", models, features, reference, noiseless)
    assert row.precision == "fp16"
    assert 0.999 < row.feature_cosine < 1.0 + 1e-6
    assert 0.9 < row.symbol_cosine < 1.0 + 1e-6
    assert row.semantic_accuracy == noiseless.accuracy
    assert list(row.semantic_accuracy_awgn) == [f"{snr_db:g}" for snr_db in SNR_DB]
    for mean, low, high in row.semantic_accuracy_awgn.values():
        assert low <= mean <= high
        assert 0.0 <= mean <= 1.0
