"""Pictures to features, as the KB builder and the trainer want them: many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from engines.models.model_set import ModelSet
from semlink.image import RGBImage, preprocess

__all__ = ["Features", "ImageEncoder"]

Features: TypeAlias = npt.NDArray[np.float32]


class ImageEncoder:
    """A model set's image encoder with its preprocessing in front.

    Parameters
    ----------
    model_set : whose encoder to load
    backend, num_threads : see `engines.backends.runner.load_runner`
    """

    def __init__(self, model_set: ModelSet, *, backend: str = "auto", num_threads: int = 1) -> None:
        self.name = model_set.manifest.encoder.name
        self.fingerprint = model_set.encoder_fingerprint
        self.feature_dim = model_set.manifest.encoder.feature_dim
        self.preprocessing = model_set.manifest.encoder.preprocessing
        self._runner = model_set.load_encoder(backend=backend, num_threads=num_threads)

    def encode(self, images: Sequence[RGBImage]) -> Features:
        """Encode pictures of any sizes.

        Parameters
        ----------
        images : each (height, width, 3) uint8, RGB

        Returns
        -------
        features : (len(images), feature_dim) float32, each row of unit L2 norm
        """
        if not images:
            return np.zeros((0, self.feature_dim), dtype=np.float32)
        return np.asarray(self._runner(np.stack([preprocess(image, self.preprocessing) for image in images])))
