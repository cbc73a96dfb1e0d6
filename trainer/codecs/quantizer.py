"""Vector quantization of features without labels: the models of the digital references.

vq            one cell of k-means
vq-residual   a cell, then a cell of the quantization error, and so on (Juang, Gray, ICASSP 1982)
vq-product    principal components divided into equal parts, a cell for each part (Jegou, Douze, Schmid, IEEE
              Trans. PAMI 33(1), 2011)

The size of each is the `QuantizerConfig` of its entry in the table of codecs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray, load_arrays
from semlink.errors import DatasetError
from semlink.files import replaced_file
from trainer.codecs.clusters import cluster_centres, principal_components
from trainer.codecs.config import QuantizerConfig
from trainer.codecs.fitting import FittingContext
from trainer.codecs.run_lock import locked_run
from trainer.codecs.spec import FitKey, FittedModel
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split
from trainer.threads import one_thread

__all__ = ["StagedQuantizer", "fit_quantizers", "fitted_quantizer"]

FIT_VERSION = 1
"""Raise it with every change of this code, or of a built-in codec's `QuantizerConfig`, that changes what is fitted."""


@dataclass(frozen=True, eq=False)
class StagedQuantizer:
    """Cells of every stage.

    Attributes
    ----------
    mean : (feature_dim,) float32
    projection : (feature_dim, feature_dim) float32, orthonormal; rotates the centred features
    centres : (stages, cells, feature_dim) float32: each cell's summand of the rotated, centred features
    """

    mean: FloatArray
    projection: FloatArray
    centres: FloatArray

    def quantize(self, features: FloatArray, num_stages: int) -> npt.NDArray[np.int64]:
        """Numbers of the nearest cells of the first stages, (batch, num_stages)."""
        residual = (features - self.mean) @ self.projection
        numbers = []
        for centres in self.centres[:num_stages]:
            numbers.append(_nearest_cells(residual, centres))
            residual = residual - centres[numbers[-1]]
        return np.stack(numbers, axis=1)

    def dequantize(self, numbers: npt.NDArray[np.int64]) -> FloatArray:
        """Features of (batch, num_stages) cells, (batch, feature_dim) float32."""
        summed = sum(self.centres[stage][numbers[:, stage]] for stage in range(numbers.shape[1]))
        return np.asarray(summed @ self.projection.T + self.mean, dtype=np.float32)


def fit_quantizers(keys: Sequence[FitKey], context: FittingContext) -> Mapping[FitKey, FittedModel]:
    """Fit a quantizer for each codec and seed; a codec's `fit_config` is a `QuantizerConfig`."""
    fitted = {}
    for key in context.progress.track(keys, description="fitting quantizers"):
        quantizer = fitted_quantizer(key, context.data, context.runs)
        path = _path(key, context.data, context.runs)
        fitted[key] = FittedModel(quantizer, trained_on=context.data.source, key=path.name)
    return fitted


def fitted_quantizer(key: FitKey, data: TrainingFeatures, runs: Path) -> StagedQuantizer:
    """Fit a codec's quantizer to the training part of `data`, or read an earlier fit of this codec from `runs`.

    Raises
    ------
    ConfigError
        If the codec's entry has no `QuantizerConfig`.
    DatasetError
        If there are too few images.
    """
    config, path = key.config_of(QuantizerConfig), _path(key, data, runs)
    with locked_run(path):
        if not path.exists():
            train, *_ = paper_train_split(len(data.features), key.seed)
            with one_thread():
                fitted = _fit(config, key.seed, data.features[train])
            with replaced_file(path) as temporary, temporary.open("wb") as file:
                np.savez(file, mean=fitted.mean, projection=fitted.projection, centres=fitted.centres)
    stored = load_arrays(path, ("mean", "projection", "centres"), what="a quantizer")
    return StagedQuantizer(stored["mean"], stored["projection"], stored["centres"])


def _path(key: FitKey, data: TrainingFeatures, runs: Path) -> Path:
    named = msgspec.json.encode([key.codec, key.seed, data.content_key, FIT_VERSION])
    return runs / f"{key.codec}-seed{key.seed}-{hashlib.sha256(named).hexdigest()[:10]}.npz"


def _nearest_cells(residual: npt.NDArray[np.floating], centres: FloatArray) -> npt.NDArray[np.int64]:
    # Centres are zero outside a product's own part, so the distance there is a constant of the image.
    distance = np.sum(centres**2, axis=1) - 2 * residual @ centres.T
    return distance.argmin(axis=1)


def _fit(config: QuantizerConfig, seed: int, features: FloatArray) -> StagedQuantizer:
    dim = features.shape[1]
    num_cells, num_stages = min(config.num_cells, len(features) // 10), min(config.num_stages, dim)
    if num_cells < 2:
        raise DatasetError(f"{len(features)} images are too few for cells: at least 20 are needed")
    mean = features.mean(axis=0)
    projection = principal_components(features - mean)
    residual = (features - mean) @ projection
    centres = np.zeros((num_stages, num_cells, dim), np.float32)
    # Components are sorted by variance and assigned to the parts in turn, so that every part has some of the largest.
    parts = [np.arange(stage, dim, num_stages) for stage in range(num_stages)]
    for stage in range(num_stages):
        dimensions = parts[stage] if config.is_product else np.arange(dim)
        centres[stage][:, dimensions] = cluster_centres(residual[:, dimensions], num_cells, seed=seed + stage)
        residual = residual - centres[stage][_nearest_cells(residual, centres[stage])]
    return StagedQuantizer(mean, projection, centres)
