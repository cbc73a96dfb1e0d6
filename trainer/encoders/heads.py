"""Linear heads from a backbone's pooled features to the features that retrieval compares.

Every head is fitted in closed form: centring, projection and scaling, which together are one linear layer.

The principal axes are computed here and not by scikit-learn's PCA, which takes data where within-class covariance
normalisation has a covariance, and has no whitening to a power.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from semlink.errors import ConfigError

__all__ = ["HEADS", "HeadFit", "LinearHead", "fit_pca", "fit_wccn"]

FloatMatrix: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearHead:
    """features = weight @ pooled + bias, L2-normalised afterwards.

    Attributes
    ----------
    weight : (feature_dim, pooled_dim) float64
    bias : (feature_dim,) float64
    """

    weight: FloatMatrix
    bias: FloatMatrix

    def __call__(self, pooled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map pooled features (num_images, pooled_dim) to features of unit L2 norm."""
        features = pooled @ self.weight.T + self.bias
        return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), dtype=np.float32)


HeadFit: TypeAlias = Callable[[npt.NDArray[np.float32], npt.NDArray[np.int64], int], LinearHead]
"""From pooled features (num_images, pooled_dim), class numbers and feature_dim to a head."""


def fit_pca(
    pooled: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], feature_dim: int, *, whitening: float = 0.0
) -> LinearHead:
    """Principal component analysis: centre, and project on the axes of largest variance.

    Parameters
    ----------
    pooled : (num_images, pooled_dim) float32
    labels : ignored; a parameter because every fit is called with it
    feature_dim : number of axes
    whitening : each axis is divided by its variance to this power; 0 is plain PCA, 0.5 whitens

    Raises
    ------
    ConfigError
        If `feature_dim` is more than pooled_dim.
    """
    del labels
    mean = pooled.mean(axis=0, dtype=np.float64)
    variances, axes = _principal_axes(_covariance(pooled, mean), feature_dim)
    return _centred(axes * variances**-whitening, mean)


def fit_wccn(
    pooled: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], feature_dim: int, *, shrinkage: float
) -> LinearHead:
    """Within-class covariance normalisation, then PCA.

    Directions in which images of one class differ are scaled down, so that classes are separated better. The
    within-class covariance S_w is regularised before it is inverted, as
    ``S_w + shrinkage * tr(S_w) / pooled_dim * I``: the larger `shrinkage`, the closer to PCA.

    Parameters
    ----------
    pooled : (num_images, pooled_dim) float32
    labels : (num_images,) class numbers
    feature_dim : number of axes
    shrinkage : weight of the identity, > 0, in units of the mean within-class variance

    Raises
    ------
    ConfigError
        If `feature_dim` is more than pooled_dim or `shrinkage` is not positive.

    Notes
    -----
    Source: Hatch, Kajarekar, Stolcke, "Within-class covariance normalization for SVM-based speaker
    recognition", Interspeech 2006.
    """
    if shrinkage <= 0:
        raise ConfigError(f"shrinkage must be positive, got {shrinkage}")
    mean = pooled.mean(axis=0, dtype=np.float64)
    total = _covariance(pooled, mean)
    within = total - _between_class_covariance(pooled, labels, mean)
    pooled_dim = len(mean)
    within += shrinkage * np.trace(within) / pooled_dim * np.eye(pooled_dim)
    variances, axes = np.linalg.eigh(within)
    whitener = axes * variances**-0.5
    _, principal = _principal_axes(whitener.T @ total @ whitener, feature_dim)
    return _centred(whitener @ principal, mean)


def _covariance(pooled: npt.NDArray[np.float32], mean: FloatMatrix) -> FloatMatrix:
    centred = pooled.astype(np.float64) - mean
    return np.asarray(centred.T @ centred / len(pooled))


def _between_class_covariance(
    pooled: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], mean: FloatMatrix
) -> FloatMatrix:
    between = np.zeros((len(mean), len(mean)))
    for label in np.unique(labels):
        members = pooled[labels == label]
        offset = members.mean(axis=0, dtype=np.float64) - mean
        between += len(members) / len(pooled) * np.outer(offset, offset)
    return between


def _principal_axes(covariance: FloatMatrix, count: int) -> tuple[FloatMatrix, FloatMatrix]:
    """The `count` largest eigenvalues in decreasing order, and their eigenvectors as columns."""
    if not 1 <= count <= len(covariance):
        raise ConfigError(f"feature_dim must be in 1..{len(covariance)}, got {count}")
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1][:count], axes[:, ::-1][:, :count]
    # Eigenvectors are unique up to the sign, which differs between solvers; it is fixed for the same graph everywhere.
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(count)]
    return variances, axes * np.sign(largest)


def _centred(projection: FloatMatrix, mean: FloatMatrix) -> LinearHead:
    return LinearHead(weight=projection.T, bias=-(mean @ projection))


HEADS: dict[str, HeadFit] = {
    "pca": fit_pca,
    "pca-whitened-0.25": partial(fit_pca, whitening=0.25),
    "wccn-1": partial(fit_wccn, shrinkage=1.0),
    "wccn-3": partial(fit_wccn, shrinkage=3.0),
    "wccn-10": partial(fit_wccn, shrinkage=10.0),
}
"""Candidates that `head_report` compares; the numbers are the whitening power and the shrinkage."""
