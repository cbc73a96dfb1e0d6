"""Which index is searched, and the two that look at a part of the entries alone. For features of unit length.

    flat    every entry is compared: exact
    ivf     entries in lists around centroids, of which the nearest to a query are compared; CPU and GPU
    cagra   a graph of neighbours is walked; a GPU, and FAISS's build with cuVS

Nothing here imports faiss: `edge_rx.kb.index` does, and hands it over.

Source: FAISS wiki, "Guidelines to choose an index" and "Faster search"; faiss/gpu/GpuIndexIVFFlat.h, GpuIndexCagra.h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from semlink.errors import EngineError
from semlink.machine import num_cores

__all__ = ["InvertedLists", "SearchIndex", "cagra_on_gpu", "lists_on_cpu", "lists_on_gpu"]

_POINTS_PER_LIST = 39
"""Least number of training points of a centroid; faiss warns below it (ClusteringParameters)."""
_SEARCHED_SHARE = 8
"""A search looks at one list in this many."""
_MIN_SEARCHED = 8
_MAX_SEARCHED = 2048
"""Largest number of lists that a search on a GPU looks at (faiss, `getMaxKSelection`)."""
_MIN_CAGRA_ENTRIES = 1000
"""Below this number of entries a graph of 64 neighbours an entry is no faster than comparing all of them."""


class SearchIndex(str, Enum):
    """How features are searched."""

    FLAT = "flat"
    IVF = "ivf"
    CAGRA = "cagra"


@dataclass(frozen=True)
class InvertedLists:
    """Number of lists, and number of those that a search looks at."""

    num_lists: int
    num_searched: int

    @classmethod
    def of(cls, num_entries: int) -> InvertedLists:
        """4 sqrt(N) lists, the least that FAISS's guidelines advise, of at least 39 entries each; an eighth searched.

        Examples
        --------
        >>> InvertedLists.of(100), InvertedLists.of(1_000_000)
        (InvertedLists(num_lists=2, num_searched=2), InvertedLists(num_lists=4000, num_searched=500))
        """
        num_lists = max(1, min(round(4 * math.sqrt(num_entries)), num_entries // _POINTS_PER_LIST))
        searched = max(_MIN_SEARCHED, math.ceil(num_lists / _SEARCHED_SHARE))
        return cls(num_lists, min(num_lists, searched, _MAX_SEARCHED))

    def __str__(self) -> str:
        return f"ivf: {self.num_lists} lists, {self.num_searched} of them searched"


def _vectors(faiss: Any, index: Any) -> npt.NDArray[np.float32]:
    """The vectors of a flat index, (n, dim) float32, not copied; valid while the index is."""
    vectors: npt.NDArray[np.float32] = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
    return vectors.reshape(index.ntotal, index.d)


def lists_on_cpu(faiss: Any, index: Any) -> Any:
    """Sort the vectors of a flat index of inner products into lists, beside it; on every core, for it takes long."""
    lists = InvertedLists.of(index.ntotal)
    centroids = faiss.IndexFlatIP(index.d)
    sorted_index = faiss.IndexIVFFlat(centroids, index.d, lists.num_lists, faiss.METRIC_INNER_PRODUCT)
    num_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(num_cores())
    try:
        return _filled(sorted_index, lists, _vectors(faiss, index))
    finally:
        faiss.omp_set_num_threads(num_threads)


def lists_on_gpu(faiss: Any, resources: Any, index: Any, *, is_half: bool, number: int) -> Any:
    """The same on GPU `number`; `is_half` holds vectors in half precision."""
    lists = InvertedLists.of(index.ntotal)
    kind = (resources, index.d, lists.num_lists)
    if is_half:
        config = faiss.GpuIndexIVFScalarQuantizerConfig()
        config.device = number
        # The vectors themselves and not what is left of them beside a centroid: that would be another product.
        sorted_index = faiss.GpuIndexIVFScalarQuantizer(
            *kind, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False, config
        )
    else:
        config = faiss.GpuIndexIVFFlatConfig()
        config.device = number
        sorted_index = faiss.GpuIndexIVFFlat(*kind, faiss.METRIC_INNER_PRODUCT, config)
    return _filled(sorted_index, lists, _vectors(faiss, index))


def _filled(sorted_index: Any, lists: InvertedLists, vectors: npt.NDArray[np.float32]) -> Any:
    # It would say on stderr that a small knowledge base is small.
    sorted_index.cp.min_points_per_centroid = 1
    sorted_index.nprobe = lists.num_searched
    sorted_index.train(vectors)
    sorted_index.add(vectors)
    return sorted_index


def cagra_on_gpu(faiss: Any, resources: Any, index: Any, *, number: int) -> Any:
    """Make a graph of neighbours on GPU `number`; it gives squared distances, which rank unit vectors as cosines do.

    Raises
    ------
    EngineError
        If this faiss has no cuVS, or there are too few vectors.
    """
    if not hasattr(faiss, "GpuIndexCagra"):
        raise EngineError(
            "search index cagra: this faiss is built without cuVS; pip uninstall faiss-gpu, then pip install"
            " faiss-gpu-cuvs; or --search-index ivf"
        )
    if index.ntotal < _MIN_CAGRA_ENTRIES:
        raise EngineError(
            f"search index cagra is for at least {_MIN_CAGRA_ENTRIES} entries, got {index.ntotal}; --search-index flat"
        )
    config = faiss.GpuIndexCagraConfig()
    config.device = number
    graph = faiss.GpuIndexCagra(resources, index.d, faiss.METRIC_L2, config)
    graph.train(_vectors(faiss, index))
    return graph
