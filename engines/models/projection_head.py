"""Keys: features seen through a network that knows categories; of images, and of entries with labels."""

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
"""Of an entry's label beside what the network makes of its picture: what is known counts as much as what is seen."""


@dataclass(frozen=True, eq=False)
class ProjectionHead:
    """A trained key network (`trainer.codecs.projection_head`).

    Attributes
    ----------
    graph : features (batch, feature_dim) -> key (batch, projection_dim), unit length
    categories : names that it was trained with
    proxies : (categories, projection_dim) float32, unit length: where the images of each are brought to
    """

    graph: GraphRunner
    categories: tuple[str, ...]
    proxies: FloatArray

    def project_images(self, features: FloatArray) -> FloatArray:
        """Keys of images of which nothing else is known, (batch, projection_dim), unit length."""
        return np.asarray(self.graph(features), dtype=np.float32)

    def project_entries(self, features: FloatArray, labels: Sequence[str]) -> FloatArray:
        """Keys of a knowledge base's entries: a picture's key, drawn towards its label's proxy.

        So an entry that the network would take for something else is found under what it is. A label
        that the network was not trained with draws nowhere.

        Parameters
        ----------
        features : (entries, feature_dim) float32
        labels : for each entry; empty if it has none

        Returns
        -------
        keys : (entries, projection_dim) float32, unit length
        """
        number = {name: index for index, name in enumerate(self.categories)}
        known = [index for index, label in enumerate(labels) if label in number]
        keys = self.project_images(features).copy()
        keys[known] += _LABEL_WEIGHT * self.proxies[[number[labels[index]] for index in known]]
        return np.asarray(keys / np.linalg.norm(keys, axis=1, keepdims=True), dtype=np.float32)


def save_proxies(categories: Sequence[str], proxies: FloatArray) -> bytes:
    """Give categories and their proxies as an .npz file, the same bytes for the same values."""
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
    values = load_arrays(path, ("categories", "proxies"), what="a key network's proxies")
    categories, proxies = values["categories"], values["proxies"]
    if categories.ndim != 1 or proxies.shape != (len(categories), projection_dim):
        raise ModelSetError(
            f"{path}: {categories.shape} categories and {proxies.shape} proxies do not fit {projection_dim}"
        )
    return tuple(map(str, categories)), np.asarray(proxies, dtype=np.float32)
