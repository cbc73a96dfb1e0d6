"""k-means and principal components; the same for the same seed within `one_thread`."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np

from engines.arrays import FloatArray
from semlink.errors import MissingDependencyError

__all__ = ["cluster_centres", "one_thread", "principal_components"]


def one_thread() -> AbstractContextManager[object]:
    """While it lasts, sums come in one order, however many cores there are.

    Raises
    ------
    MissingDependencyError
        If threadpoolctl is not installed.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MissingDependencyError.of("threadpoolctl", extra="train", purpose="fitting a code") from None
    return threadpool_limits(1)


def cluster_centres(points: FloatArray, num_cells: int, *, seed: int, max_iterations: int = 20) -> FloatArray:
    """k-means: (num_cells, dim) float32.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise MissingDependencyError.of("scikit-learn", extra="train", purpose="fitting a code") from None
    means = KMeans(num_cells, init="random", n_init=1, max_iter=max_iterations, random_state=seed)
    return np.asarray(means.fit(points).cluster_centers_, dtype=np.float32)


def principal_components(centred: FloatArray) -> FloatArray:
    """Orthonormal columns, by falling variance of (n, dim) float32; (dim, dim) float32."""
    moments = (centred.T @ centred).astype(np.float64) / len(centred)
    _, components = np.linalg.eigh(moments)
    components = components[:, ::-1]
    # An eigenvector's sign is the library's choice; this makes it ours.
    signs = np.sign(components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])])
    return np.asarray(components * signs, dtype=np.float32)
