"""Fixtures of the latency suites: the built-in models, a camera image, a knowledge base, codebooks of `adapted`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.clustered import KNOWLEDGE_BASE, clustered_features, cyclic_labels
from benchmarks.graphs import BACKEND, DEVICE, SentCodec
from edge_rx.codebook.make import Shape, make_codebook
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from engines.models.arrays import FloatArray
from engines.models.image_encoder import ImageEncoder
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from engines.options import EngineOptions
from semlink.image import LoadedImage
from semlink.machine import num_cores
from semlink.rates import Rate, parse_rate
from trainer.datasets import open_dataset

NUM_KB_ENTRIES = 5_000

NUM_THREADS = num_cores()
"""Threads of the image encoder; every other stage runs on one."""

OPTIONS = EngineOptions(backend=BACKEND, device=DEVICE, num_threads=NUM_THREADS)
"""Of transmitters; explicit, because "auto" selects TensorRT where it is installed."""


@pytest.fixture(scope="session")
def model_set() -> ModelSet:
    """The built-in model set."""
    return ModelSet.find("builtin")


@pytest.fixture(scope="session")
def rate() -> Rate:
    """CBR 1/48 of a CIFAR-100 image: 64 symbols."""
    return parse_rate("1/48")


@pytest.fixture(scope="session", params=["nested", "nested-cells", "kbsc"])
def codec(request: pytest.FixtureRequest) -> str:
    """The default codec, and beside it that with codewords and the paper's."""
    return str(request.param)


@pytest.fixture(scope="session")
def entry_features() -> FloatArray:
    """Features of 5,000 entries, around 100 centres."""
    return clustered_features(NUM_KB_ENTRIES)


@pytest.fixture(scope="session")
def adapted_codebooks(entry_features: FloatArray, model_set: ModelSet) -> dict[str, KnowledgeBaseCodebook]:
    """Codebooks of `adapted`: of entries with 100 labels, and of the same entries without."""
    shapes = {"adapted": Shape(True, 0.8), "adapted-unlabelled": Shape(False, 0.95)}
    return {
        name: make_codebook(
            entry_features,
            cyclic_labels(NUM_KB_ENTRIES, are_known=shape.uses_labels),
            knowledge_base=KNOWLEDGE_BASE,
            space=model_set.encoder_fingerprint,
            shape=shape,
        )
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="session", params=["nested", "kbsc", "adapted", "adapted-unlabelled"])
def sent_codec(
    request: pytest.FixtureRequest, model_set: ModelSet, adapted_codebooks: dict[str, KnowledgeBaseCodebook]
) -> SentCodec:
    """Every codec that a transmitter computes from features alone."""
    name = str(request.param)
    return adapted_codebooks[name] if name in adapted_codebooks else model_set.codec(name)


@pytest.fixture(scope="session")
def camera_image() -> LoadedImage:
    """A real photograph at a camera's 1280 x 720."""
    photograph = open_dataset("photos").knowledge_base.image(0)
    pixels = np.asarray(Image.fromarray(photograph).resize((1280, 720), Image.Resampling.BICUBIC))
    return LoadedImage(pixels, *pixels.shape[:2])


@pytest.fixture(scope="session")
def unit_vectors() -> np.ndarray:
    """(100000, 512) float32 of unit length; the time of an exact search does not depend on their values."""
    vectors = np.random.default_rng(0).standard_normal((100_000, 512), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def knowledge_base_folder(model_set: ModelSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A KB of 5,000 small images: real digits, each rotated so that no two are equal."""
    digits = open_dataset("digits").knowledge_base
    rng = np.random.default_rng(0)
    images = []
    for index in range(NUM_KB_ENTRIES):
        source = index % len(digits)
        rotated = Image.fromarray(digits.image(source)).rotate(float(rng.uniform(-20, 20)))
        images.append(LabelledImage(digits.labels[source], f"{index}.png", np.asarray(rotated)))
    folder = tmp_path_factory.mktemp("benchmark") / "kb"
    build_knowledge_base(
        images, folder, ImageEncoder(model_set, backend=BACKEND, num_threads=NUM_THREADS), codecs=model_set.codecs
    )
    return folder


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Keep the settings of the suites: the report says the rest, and nothing names the machine."""
    machine_info.clear()
    machine_info.update(precision="fp32", backend=f"{BACKEND} on {DEVICE}", encoder_threads=NUM_THREADS)


def pytest_benchmark_update_commit_info(config: pytest.Config, commit_info: dict[str, Any]) -> None:
    """Keep nothing: the report has the commit."""
    commit_info.clear()
