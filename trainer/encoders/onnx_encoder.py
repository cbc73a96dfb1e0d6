"""Any ONNX graph from images to features as the image encoder of a model set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.backends.runner import load_runner
from engines.models.image_encoder import Features
from engines.models.model_set import ModelSet
from semlink.errors import EngineError
from semlink.image import Preprocessing
from trainer.encoders.image_graph import NORM_TOLERANCE, Channels, ImageGraph
from trainer.model_set_writer import write_encoder

__all__ = ["OnnxEncoder"]

_MIN_COSINE = 0.9999
_NUM_TEST_IMAGES = 3


@dataclass(frozen=True, kw_only=True)
class OnnxEncoder:
    """An ONNX file, and the facts that the file does not state.

    Attributes
    ----------
    name : name in the manifest
    graph : ONNX file from RGB images, (batch, 3, size, size) or (batch, size, size, 3), float32 or uint8, to features
        (batch, feature_dim) float32
    mean, std : of each channel, on the scale 0..255: a graph of float32 receives (pixel - mean) / std; None for a graph
        of uint8, which receives the pixels
    size_px : side of the input, if the graph leaves it free
    interpolation : filter of the resizing in front of the graph, "bicubic" or "bilinear"
    output : name of the output with the features; None if the graph has only one
    licence, training_data : one line each, for the manifest
    """

    name: str
    graph: Path
    licence: str
    training_data: str = "not stated"
    mean: Channels | None = None
    std: Channels | None = None
    size_px: int | None = None
    interpolation: str = "bicubic"
    output: str | None = None

    def write(self, folder: Path) -> ModelSet:
        """Check the graph, complete it, and write a model set without a codec.

        Raises
        ------
        ConfigError
            If `mean` and `std`, `size_px` or `output` do not suit the graph.
        EngineError
            If the file is no ONNX graph, its input, output or operators are not those of an image encoder, or the
            completed graph gives other features.
        ModelSetError
            If the folder holds codecs of another encoder, or cannot be written.
        """
        graph = ImageGraph.load(self.graph, output=self.output, size_px=self.size_px, mean=self.mean, std=self.std)
        preprocessing = Preprocessing(graph.size_px, self.interpolation)
        shape = (_NUM_TEST_IMAGES, graph.size_px, graph.size_px, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        features = graph.features(images)
        completed = graph.completed(features)
        _check_completed(completed, images, features, name=self.graph.name)
        return write_encoder(
            folder,
            completed,
            name=self.name,
            feature_dim=features.shape[1],
            preprocessing=preprocessing,
            licence=self.licence,
            training_data=self.training_data,
        )


def _check_completed(graph: bytes, images: npt.NDArray[np.uint8], expected: Features, *, name: str) -> None:
    """Compare the completed graph on a batch with the file's on single images; EngineError if they differ."""
    fix = "export it in evaluation mode, with a free batch axis"
    try:
        features = load_runner(graph)(images)
    except EngineError as error:
        raise EngineError(f"{name}: does not run on a batch of {len(images)} images: {error}; {fix}") from None
    if features.shape != expected.shape:
        raise EngineError(f"{name}: gives {features.shape} for a batch of {len(images)} images; {fix}")
    norms = np.linalg.norm(features, axis=1)
    cosine = np.sum(features * expected, axis=1) / norms / np.linalg.norm(expected, axis=1)
    if not (cosine.min() >= _MIN_COSINE and np.allclose(norms, 1.0, atol=NORM_TOLERANCE)):
        raise EngineError(
            f"{name}: features of an image differ in a batch, cosine {cosine.min():.4f}, norm {norms.min():.4f}; {fix}"
        )
