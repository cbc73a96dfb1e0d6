"""The vectors of a knowledge base and the search through them. The only module that imports faiss."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from edge_rx.kb.approximate import InvertedLists, SearchIndex, lists_on_cpu
from edge_rx.kb.gpu_search import (
    GpuSearch,
    HeldVectors,
    SearchPrecision,
    choose_gpu_search,
    last_line,
)
from engines.backends.runner import DeviceView
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError, MissingDependencyError, install_command
from semlink.files import replaced_file

__all__ = [
    "INDEX_KIND",
    "EntryIds",
    "FlatIndex",
    "InnerProductIndex",
    "Vectors",
    "import_faiss",
    "open_search_device",
]

_log = logging.getLogger(__name__)

Vectors: TypeAlias = npt.NDArray[np.float32]
EntryIds: TypeAlias = npt.NDArray[np.int64]

INDEX_KIND = "flat-ip"
"""What is kept: every vector, for exact search by inner product of unit vectors, the cosine."""


class FlatIndex:
    """Unit vectors in the order in which they were added; an entry's id is its row.

    Parameters
    ----------
    feature_dim : length of every vector, at least 1
    num_threads : CPU threads of one search, at least 1
    gpu : where to search, a copy of the vectors made there by the first search; None for the CPU
    kind : how to search; one that is not flat is made of the vectors by the first search, and kept in memory alone

    Raises
    ------
    ConfigError
        If the index needs a GPU and there is none.
    MissingDependencyError
        If faiss is not installed.

    Examples
    --------
    >>> index = FlatIndex(2)
    >>> index.add(np.array([[1, 0], [0, 1]], np.float32))
    >>> ids, scores = index.search(np.array([[0, 5]], np.float32), num_matches=1)
    >>> int(ids[0, 0]), float(scores[0, 0])
    (1, 1.0)
    """

    def __init__(
        self,
        feature_dim: int,
        *,
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
        kind: SearchIndex = SearchIndex.FLAT,
    ) -> None:
        if feature_dim < 1 or num_threads < 1:
            raise KnowledgeBaseError(
                f"feature_dim and num_threads must be at least 1, got {feature_dim} and {num_threads}"
            )
        self._faiss = import_faiss()
        self._index = self._faiss.IndexFlatIP(feature_dim)
        self.feature_dim = feature_dim
        self.num_threads = num_threads
        if kind is SearchIndex.CAGRA and gpu is None:
            raise ConfigError("search index cagra needs a GPU: --device gpu")
        self._gpu, self._kind = gpu, kind
        self._held: HeldVectors | None = None
        self._lists: Any = None

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Append vectors, scaled to unit length.

        Parameters
        ----------
        vectors : (n, feature_dim) float32, finite and not zero

        Raises
        ------
        KnowledgeBaseError
            If the shape is another, or a vector has no direction.
        """
        self._index.add(self._unit(vectors, "vectors"))
        self._held = self._lists = None

    def search(self, queries: Vectors, *, num_matches: int) -> tuple[EntryIds, Vectors]:
        """Find the entries that point most nearly the same way.

        Parameters
        ----------
        queries : (q, feature_dim) float32, of any length but zero
        num_matches : entries to give for each query; all, if there are fewer

        Returns
        -------
        entry_ids : (q, m) int64, best first
        scores : (q, m) float32, cosine, -1 .. 1

        Raises
        ------
        KnowledgeBaseError
            If the shape is another, a query has no direction, or `num_matches` is below 1.
        EngineError
            If the GPU has no room for the vectors, or fails; or the lists of `ivf` cannot be made.
        """
        if num_matches < 1:
            raise KnowledgeBaseError(f"num_matches must be at least 1, got {num_matches}")
        unit, num_matches = self._unit(queries, "queries"), min(num_matches, len(self))
        if self._gpu is not None:
            scores, entry_ids = self._on_gpu(self._gpu).search(unit, num_matches)
            return entry_ids, scores
        # OpenMP keeps the number per calling thread, so it is set where it is used.
        self._faiss.omp_set_num_threads(self.num_threads)
        scores, entry_ids = self._on_cpu().search(unit, num_matches)
        return entry_ids, scores

    def search_on_device(self, queries: DeviceView, *, num_matches: int) -> tuple[EntryIds, Vectors]:
        """Find the same for (q, feature_dim) float32 of unit length in the GPU's memory; id -1 for one that is NaN.

        Raises
        ------
        ConfigError
            If the index searches on the CPU.
        """
        if self._gpu is None:
            raise ConfigError("a query on a GPU is searched there: --device gpu")
        scores, entry_ids = self._on_gpu(self._gpu).search_on_device(queries, min(num_matches, len(self)))
        return entry_ids, scores

    @property
    def description(self) -> str:
        """Which index answers, how much of it a search looks at, where and at which precision."""
        kind = str(InvertedLists.of(len(self))) if self._kind is SearchIndex.IVF else self._kind.value
        return f"{kind}, CPU, fp32" if self._gpu is None else f"{kind}, GPU, {self._gpu.precision.value}"

    def _on_gpu(self, gpu: GpuSearch) -> HeldVectors:
        self._held = self._held or gpu.hold(self._index, self._kind)
        return self._held

    def _on_cpu(self) -> Any:
        if self._kind is SearchIndex.FLAT:
            return self._index
        if self._lists is None:
            _log.info("search: sorting %d entries into lists", len(self))
            try:
                self._lists = lists_on_cpu(self._faiss, self._index)
            except (RuntimeError, MemoryError) as error:
                words = f"{len(self)} entries cannot be sorted into lists: {last_line(error)}"
                raise EngineError(f"{words}; --search-index flat needs none") from None
        return self._lists

    def vectors(self, start: int, count: int) -> Vectors:
        """(count, feature_dim) float32: a copy of the entries from `start` on."""
        stored: Vectors = self._index.reconstruct_n(start, count)
        return stored

    def save(self, path: Path) -> None:
        """Write the index, atomically and durably.

        Raises
        ------
        KnowledgeBaseError
            If it cannot be written; `path` is then as it was.
        """
        try:
            with replaced_file(path, durable=True) as temporary:
                self._faiss.write_index(self._index, str(temporary))
        # faiss reports a full disk as a RuntimeError.
        except (RuntimeError, OSError) as error:
            raise KnowledgeBaseError(f"{path}: cannot be written: {last_line(error)}") from None

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        feature_dim: int,
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
        kind: SearchIndex = SearchIndex.FLAT,
    ) -> Self:
        """Read an index of vectors of `feature_dim`.

        Raises
        ------
        KnowledgeBaseError
            If the file is missing, cut short, or not such an index.
        """
        index = cls(feature_dim, num_threads=num_threads, gpu=gpu, kind=kind)
        if not path.is_file():
            raise KnowledgeBaseError(f"{path}: no such file; the knowledge base is incomplete, build it again")
        try:
            stored = index._faiss.read_index(str(path))
        except RuntimeError as error:
            raise KnowledgeBaseError(f"{path}: damaged, build the knowledge base again: {last_line(error)}") from None
        if not isinstance(stored, index._faiss.IndexFlatIP) or stored.d != feature_dim:
            found = f"{type(stored).__name__} of dimension {stored.d}"
            raise KnowledgeBaseError(f"{path}: expected IndexFlatIP of dimension {feature_dim}, found {found}")
        index._index = stored
        return index

    def _unit(self, vectors: Vectors, name: str) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.feature_dim or vectors.dtype != np.float32:
            wanted = f"(n, {self.feature_dim}) float32"
            raise KnowledgeBaseError(f"{name} must be {wanted}, got {vectors.shape} {vectors.dtype}")
        # In double precision no finite float32 vector overflows or vanishes.
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise KnowledgeBaseError(f"{name} must be finite and not zero, so that they have a direction")
        return np.ascontiguousarray(vectors / lengths, dtype=np.float32)


class InnerProductIndex:
    """Vectors of any length, found by inner product; in memory only.

    Parameters
    ----------
    vectors : (n, dim) float32
    num_threads : CPU threads of one search, at least 1
    gpu : where to hold them and search; None for the CPU

    Raises
    ------
    EngineError
        If the GPU has no room for them, or fails.
    """

    def __init__(self, vectors: Vectors, *, num_threads: int = 1, gpu: GpuSearch | None = None) -> None:
        self._faiss = import_faiss()
        index = self._faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
        self._num_threads = num_threads
        self._num_vectors = len(vectors)
        # Where a GPU holds them, the host's copy goes.
        self._index = index if gpu is None else gpu.hold(index)

    def __len__(self) -> int:
        return self._num_vectors

    def search(self, queries: Vectors, *, num_matches: int) -> tuple[EntryIds, Vectors]:
        """Find the largest inner products: (q, m) int64 ids, best first, and (q, m) float32 products."""
        # OpenMP keeps the number per calling thread, so it is set where it is used.
        self._faiss.omp_set_num_threads(self._num_threads)
        products, ids = self._index.search(np.ascontiguousarray(queries), min(num_matches, len(self)))
        return ids, products


def open_search_device(
    device: str,
    precision: SearchPrecision = SearchPrecision.FP32,
    kind: SearchIndex = SearchIndex.FLAT,
) -> GpuSearch | None:
    """The GPU to search on, or None for the CPU; see `edge_rx.kb.gpu_search.choose_gpu_search`."""
    return choose_gpu_search(import_faiss, device, precision, kind)


def import_faiss() -> Any:
    """Import faiss; MissingDependencyError if it is missing or does not load."""
    try:
        import faiss
    except ImportError as error:
        # faiss's build for GPUs is there, but not CUDA's libraries.
        if error.name != "faiss" and importlib.util.find_spec("faiss") is not None:
            raise MissingDependencyError(f"faiss does not load: {error}; run: {install_command('gpu')}") from None
        raise MissingDependencyError.of("faiss", extra="cpu", purpose="a knowledge base") from None
    return faiss
