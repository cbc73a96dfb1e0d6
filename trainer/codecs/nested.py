"""The codec `nested`: every image as its analog part alone, for knowledge bases of any kind.

The fit gives the mean and the principal components of the features. It uses no label, no channel and no knowledge base.
The components are not scaled, as those of `adapted` are: a projection that keeps lengths also keeps the similarities by
which a receiver answers, and the variances by which they could be scaled are those of another set of images than the
knowledge base's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.codecs import NestedCodec
from engines.models.projection_head import ProjectionHead
from semlink.errors import DatasetError
from semlink.files import replaced_file
from trainer.codecs.clusters import principal_components
from trainer.codecs.fitting import FittingContext
from trainer.codecs.run_lock import locked_run
from trainer.codecs.spec import FitKey, FittedModel
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split
from trainer.threads import one_thread

__all__ = ["NestedModel", "analog_part", "centred_directions", "fit_each_seed", "fit_nested", "fitted_nested"]

FIT_VERSION = 1
"""Raise it with every change of this code that changes what is fitted."""
_NUM_SYMBOLS = 64
"""Rate at which the analog part has the power of a codeword."""

FittedCodebook: TypeAlias = Callable[[int, TrainingFeatures, Path], Codebook]
"""Fits a codebook to a seed, training data and a folder of earlier fits, or reads an earlier one."""


@dataclass(frozen=True, eq=False)
class NestedModel:
    """What the links of the nested codecs are made of.

    Attributes
    ----------
    codebook : the code, of features or of projected features
    projection : projects features in front of the code; None if the code is of the features themselves
    projection_graph : file of the projection head's network; None if it is in a model set already
    """

    codebook: Codebook
    projection: ProjectionHead | None = None
    projection_graph: Path | None = None

    @classmethod
    def of(cls, codec: NestedCodec) -> NestedModel:
        """Load a codec of a model set."""
        return cls(codec.codebook, codec.load_projection_head())

    @property
    def content_key(self) -> str:
        """Changes whenever the codebook or the projection head does."""
        graph = self.projection_graph.name if self.projection_graph else ""
        return f"{hashlib.sha256(self.codebook.to_bytes()).hexdigest()} {graph}"


def fit_nested(keys: Sequence[FitKey], context: FittingContext) -> Mapping[FitKey, FittedModel]:
    """Fit `nested`, a codebook for each seed."""
    return fit_each_seed("nested", fitted_nested, keys, context)


def fit_each_seed(
    codec: str, fitted: FittedCodebook, keys: Sequence[FitKey], context: FittingContext
) -> Mapping[FitKey, FittedModel]:
    """Models of a nested codec without a projection head, a codebook for each seed."""
    models = {}
    for key in context.progress.track(keys, description=f"fitting {codec}"):
        model = NestedModel(fitted(key.seed, context.data, context.runs))
        models[key] = FittedModel(model, trained_on=context.data.source, key=model.content_key)
    return models


def fitted_nested(seed: int, data: TrainingFeatures, runs: Path) -> Codebook:
    """Fit to the training part of `data`, or read an earlier fit from `runs`.

    The split is the paper's, so that the accuracy in a model set's manifest is of other images.

    Raises
    ------
    DatasetError
        If features are not finite, or all the same.
    """
    named = msgspec.json.encode([seed, data.content_key, FIT_VERSION])
    path = runs / f"nested-seed{seed}-{hashlib.sha256(named).hexdigest()[:10]}.npz"
    with locked_run(path):
        if not path.exists():
            train, _, _ = paper_train_split(len(data.features), seed)
            with one_thread():
                mean, directions = centred_directions(data.features[train])
                projection, scale = analog_part(directions, num_symbols=_NUM_SYMBOLS)
            with replaced_file(path) as temporary:
                temporary.write_bytes(Codebook.without_cells(mean, projection, analog_scale=scale).to_bytes())
    return Codebook.load(path)


def centred_directions(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean (feature_dim,) and directions (n, feature_dim) of features; one that equals the mean has no direction.

    Raises
    ------
    DatasetError
        If the features are not finite, or none has a direction.
    """
    if not np.isfinite(features).all():
        raise DatasetError("features to fit a code to hold values that are not finite")
    mean = features.mean(axis=0)
    centred = features - mean
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    has_direction = lengths[:, 0] > np.finfo(np.float32).eps
    if not has_direction.any():
        raise DatasetError("all images to fit a code to have the same features; name a set of different images")
    return mean, np.asarray(centred[has_direction] / lengths[has_direction], dtype=np.float32)


def analog_part(directions: FloatArray, *, num_symbols: int) -> tuple[FloatArray, float]:
    """Principal components (feature_dim, feature_dim), and the scale of the analog part.

    Parameters
    ----------
    directions : (n, feature_dim) float32, of unit length
    num_symbols : rate at which the analog part has the power of a codeword
    """
    projection = principal_components(directions)
    num_reals = min(2 * num_symbols, directions.shape[1])
    power = np.square(directions @ projection[:, :num_reals]).sum(axis=1).mean()
    return projection, float(np.sqrt(num_reals / power))
