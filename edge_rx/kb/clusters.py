"""k-means over the vectors of a knowledge base."""

from __future__ import annotations

import numpy as np

from edge_rx.kb.index import Vectors, import_faiss

__all__ = ["cluster_centres"]

_NUM_ITERATIONS = 10


def cluster_centres(directions: Vectors, num_cells: int, *, seed: int = 0, num_threads: int = 1) -> Vectors:
    """Centres of spherical k-means, (num_cells, dim) float32 of unit length.

    Parameters
    ----------
    directions : (n, dim) float32, unit length, n at least num_cells; of more than 256 for each centre, as many are
        used as that, drawn at random
    num_threads : CPU threads
    """
    if len(directions) == num_cells:
        return np.array(directions)
    faiss = import_faiss()
    # OpenMP keeps the number per calling thread, so it is set where it is used.
    faiss.omp_set_num_threads(num_threads)
    kmeans = faiss.Kmeans(
        directions.shape[1], num_cells, niter=_NUM_ITERATIONS, seed=seed + 1, spherical=True, min_points_per_centroid=1
    )
    kmeans.train(np.ascontiguousarray(directions))
    return np.asarray(kmeans.centroids, dtype=np.float32).reshape(num_cells, -1)
