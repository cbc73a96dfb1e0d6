"""Pictures of any size become features."""

from __future__ import annotations

import numpy as np

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.image import Preprocessing, preprocess


def test_pictures_of_any_size(model_set: ModelSet) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((1, 1), (10, 30), (8, 8))]
    encoder = ImageEncoder(model_set)
    features = encoder.encode(pictures)
    assert features.shape == (3, encoder.feature_dim)
    assert features.dtype == np.float32
    expected = model_set.load_encoder()(np.stack([preprocess(p, Preprocessing(size_px=8)) for p in pictures]))
    np.testing.assert_array_equal(features, expected)


def test_no_pictures(model_set: ModelSet) -> None:
    assert ImageEncoder(model_set).encode([]).shape == (0, 16)


def test_tells_what_it_is(model_set: ModelSet) -> None:
    encoder = ImageEncoder(model_set)
    assert (encoder.name, encoder.fingerprint) == ("synthetic-encoder-0", model_set.encoder_fingerprint)
