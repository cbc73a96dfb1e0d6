"""An image encoder that is a Python function: for evaluation, and for knowledge bases built from Python."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engines.models.image_encoder import Features
from semlink.errors import ConfigError, EngineError
from semlink.image import Preprocessing, RGBImage, preprocess

if TYPE_CHECKING:
    from engines.models.model_set import ModelSet

__all__ = ["CallableEncoder"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CallableEncoder:
    """A function with its preprocessing; has the interface of `engines.models.image_encoder.ImageEncoder`.

    Attributes
    ----------
    name : name for reports
    function : images (batch, size, size, 3) uint8, RGB, to features (batch, feature_dim), of any length
    feature_dim : number of features of an image
    preprocessing : resizing in front of the function
    version : changed by you whenever the function's results change; part of the fingerprint

    Examples
    --------
    >>> encoder = CallableEncoder(
    ...     name="mean-colour",
    ...     function=lambda images: images.mean(axis=(1, 2)) - 127.5,
    ...     feature_dim=3,
    ...     preprocessing=Preprocessing(size_px=8),
    ...     version="1",
    ... )
    >>> encoder.encode([np.zeros((20, 30, 3), np.uint8)]).round(3)
    array([[-0.577, -0.577, -0.577]], dtype=float32)
    """

    name: str
    function: Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]
    feature_dim: int
    preprocessing: Preprocessing
    version: str

    @property
    def fingerprint(self) -> str:
        """Identity of the features, in hex: a hash of all fields but the function."""
        fields = f"semlink encoder\n{self.name}\n{self.version}\n{self.feature_dim}\n{self.preprocessing}"
        return hashlib.sha256(fields.encode()).hexdigest()

    def encode(self, images: Sequence[RGBImage]) -> Features:
        """Encode images of any sizes; see `engines.models.image_encoder.ImageEncoder.encode`.

        Raises
        ------
        EngineError
            If the function returns another shape, or a row that is zero or not finite.
        """
        if not images:
            return np.zeros((0, self.feature_dim), dtype=np.float32)
        batch = np.stack([preprocess(image, self.preprocessing) for image in images])
        features = np.asarray(self.function(batch), dtype=np.float32)
        expected = (len(images), self.feature_dim)
        if features.shape != expected:
            raise EngineError(f"encoder {self.name}: expected features of shape {expected}, got {features.shape}")
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise EngineError(f"encoder {self.name}: the features of an image are zero or not finite")
        return np.asarray(features / norms, dtype=np.float32)

    def write(self, folder: Path) -> ModelSet:
        """Refuse: a model set holds a graph, and a Python function is none."""
        raise ConfigError(
            f'encoder "{self.name}" is a Python function, which no model set can hold; register a torch network'
            " (trainer.encoders.export.EncoderNetwork) or an ONNX graph (trainer.encoders.onnx_encoder.OnnxEncoder)"
        )
