"""Clustered features to send over every link, and smooth pictures for those that send pictures."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from tests.support.pictures import smooth_pictures
from tests.support.retrieval import clustered_retrieval
from trainer.links.pictures import encode_pictures
from trainer.links.retrieval import NoiselessRetrieval


@pytest.fixture(scope="session")
def noiseless() -> NoiselessRetrieval:
    """Ten clusters in the synthetic model set's 16 dimensions, 300 images to send and 300 entries."""
    return clustered_retrieval()


@pytest.fixture(scope="session")
def encoder(model_set: ModelSet) -> ImageEncoder:
    return ImageEncoder(model_set)


@pytest.fixture(scope="session")
def sent_pictures() -> list[np.ndarray]:
    return smooth_pictures(40, 1)[0]


@pytest.fixture(scope="session")
def noiseless_pictures(encoder: ImageEncoder, sent_pictures: list[np.ndarray]) -> NoiselessRetrieval:
    """The 40 pictures to send, and a knowledge base of 80."""
    kept, kept_kinds = smooth_pictures(80, 2)
    return NoiselessRetrieval.of(
        encode_pictures(sent_pictures, encoder), smooth_pictures(40, 1)[1], encode_pictures(kept, encoder), kept_kinds
    )
