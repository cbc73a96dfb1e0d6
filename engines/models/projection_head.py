"""Projection heads: networks that map features to a space in which images of one category lie close together."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.backends.runner import GraphRunner
from engines.models.arrays import FloatArray, load_arrays
from semlink.errors import ModelSetError

__all__ = ["ProjectionHead", "load_proxies", "save_proxies"]

_LABEL_WEIGHT = 1.0
"""Weight of an entry's label proxy beside the projection of its image, which has weight 1."""


@dataclass(frozen=True, eq=False)
class ProjectionHead:
    """A trained projection head (`trainer.codecs.projection_head`).

    Attributes
    ----------
    graph : features (batch, feature_dim) -> projection (batch, projection_dim), unit length
    categories : names of the training categories
    proxies : (categories, projection_dim) float32, unit length: the target of each category's images
    """

    graph: GraphRunner
    categories: tuple[str, ...]
    proxies: FloatArray

    def project_images(self, features: FloatArray) -> FloatArray:
        """Project images without labels: (batch, projection_dim), unit length."""
        return np.asarray(self.graph(features), dtype=np.float32)

    def project_entries(self, features: FloatArray, labels: Sequence[str]) -> FloatArray:
        """Project a knowledge base's entries: the image's projection plus its label's proxy, normalised.

        An entry that the network misclassifies is thereby found under its label. Labels outside the training categories
        have no effect.

        Parameters
        ----------
        features : (entries, feature_dim) float32
        labels : label of each entry; empty if it has none

        Returns
        -------
        projections : (entries, projection_dim) float32, unit length
        """
        number = {name: index for index, name in enumerate(self.categories)}
        known = [index for index, label in enumerate(labels) if label in number]
        projections = self.project_images(features).copy()
        projections[known] += _LABEL_WEIGHT * self.proxies[[number[labels[index]] for index in known]]
        return np.asarray(projections / np.linalg.norm(projections, axis=1, keepdims=True), dtype=np.float32)


def save_proxies(categories: Sequence[str], proxies: FloatArray) -> bytes:
    """Serialise categories and proxies as an .npz file, the same bytes for the same values."""
    buffer = io.BytesIO()
    np.savez(buffer, categories=np.array(categories, dtype=np.str_), proxies=proxies.astype(np.float32))
    return buffer.getvalue()


def load_proxies(path: Path, *, projection_dim: int) -> tuple[tuple[str, ...], FloatArray]:
    """Read categories and proxies.

    Raises
    ------
    ModelSetError
        If the file is missing, cut short, or holds no proxies of `projection_dim`.
    """
    values = load_arrays(path, ("categories", "proxies"), what="a projection head's proxies")
    categories, proxies = values["categories"], values["proxies"]
    if categories.ndim != 1 or proxies.shape != (len(categories), projection_dim):
        raise ModelSetError(
            f"{path}: {categories.shape} categories and {proxies.shape} proxies do not fit {projection_dim}"
        )
    return tuple(map(str, categories)), np.asarray(proxies, dtype=np.float32)
