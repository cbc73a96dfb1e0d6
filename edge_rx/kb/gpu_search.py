"""Exact search on a GPU: vectors are copied there once, queries and answers go to and fro.

Nothing here imports faiss: `edge_rx.kb.index` does, and hands it over.

Source: FAISS wiki, "Faiss on the GPU"; faiss/gpu/GpuIndexFlat.h.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from engines.cuda_driver import probe_driver
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError, install_command

__all__ = ["GpuSearch", "HeldVectors", "SearchDevice", "SearchPrecision", "choose_gpu_search", "last_line"]

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MAX_MATCHES = 2048
"""What one search on a GPU can give (faiss, `getMaxKSelection`)."""
_TEMPORARY_BYTES = 256 * 2**20
"""Scratch memory that faiss takes once; left to itself it takes 1.5 GiB of a large GPU."""
_FIX = f"pip uninstall faiss-cpu, then {install_command('gpu')}; or --search-device cpu"


class SearchDevice(str, Enum):
    """Where a receiver searches."""

    CPU = "cpu"
    GPU = "gpu"
    AUTO = "auto"


class SearchPrecision(str, Enum):
    """How a GPU holds the vectors that it searches; products are summed in single precision."""

    FP32 = "fp32"
    FP16 = "fp16"


class GpuSearch:
    """The first GPU, for the searches of one process; make one, and use it from one thread at a time.

    Parameters
    ----------
    faiss : the module, of a build for GPUs
    precision : of the vectors held
    """

    def __init__(self, faiss: Any, precision: SearchPrecision = SearchPrecision.FP32) -> None:
        self.precision = precision
        self._faiss = faiss
        self._resources = self.guarded(faiss.StandardGpuResources, _TEMPORARY_BYTES)
        self.guarded(lambda: self._resources.setTempMemory(_TEMPORARY_BYTES), _TEMPORARY_BYTES)

    def hold(self, index: Any) -> HeldVectors:
        """Copy the vectors of a flat index of inner products to the GPU.

        Raises
        ------
        EngineError
            If they do not fit, or the GPU fails.
        """
        config = self._faiss.GpuIndexFlatConfig()
        config.device = 0
        config.useFloat16 = self.precision is SearchPrecision.FP16
        num_bytes = index.ntotal * index.d * (2 if config.useFloat16 else 4)
        held = self.guarded(lambda: self._faiss.GpuIndexFlatIP(self._resources, index, config), num_bytes)
        _log.info("search: %d x %d on the GPU, %s, %d bytes", index.ntotal, index.d, self.precision.value, num_bytes)
        return HeldVectors(self, held, num_bytes)

    def guarded(self, work: Callable[[], _T], num_bytes: int) -> _T:
        """Run what may fail on the GPU, and needs so many bytes of it; EngineError then."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            words = last_line(error)
            if isinstance(error, MemoryError) or re.search(r"out of memory|alloc", str(error), re.IGNORECASE):
                raise EngineError(
                    f"GPU out of memory: {num_bytes} bytes are needed for {self.precision.value} vectors, and"
                    f" {_TEMPORARY_BYTES} to work in; {self._smaller()}serve fewer rates with --rate, or search with"
                    f" --search-device cpu ({words})"
                ) from None
            raise EngineError(f"search on the GPU failed: {words}; --search-device cpu does without it") from None

    def _smaller(self) -> str:
        return "hold them with --search-precision fp16, " if self.precision is SearchPrecision.FP32 else ""


class HeldVectors:
    """Vectors on the GPU; `GpuSearch.hold` makes them."""

    def __init__(self, gpu: GpuSearch, index: Any, num_bytes: int) -> None:
        self._gpu, self._index, self._num_bytes = gpu, index, num_bytes

    def search(
        self, queries: npt.NDArray[np.float32], num_matches: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Largest inner products (q, m) and their places, best first, as faiss gives them on a CPU.

        Raises
        ------
        EngineError
            If the GPU fails.
        KnowledgeBaseError
            If more matches are asked for than a GPU gives.
        """
        if num_matches > _MAX_MATCHES:
            raise KnowledgeBaseError(
                f"num_matches must be at most {_MAX_MATCHES} on a GPU, got {num_matches}; search on the CPU for more"
            )
        if self._gpu.precision is SearchPrecision.FP32:
            products, places = self._gpu.guarded(lambda: self._index.search(queries, num_matches), self._num_bytes)
            return products, places
        # The GPU rounds queries to half precision too, which ends at 65504: with much noise a query is beyond that.
        largest = np.maximum(np.abs(queries).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        products, places = self._gpu.guarded(
            lambda: self._index.search(np.ascontiguousarray(queries / largest), num_matches), self._num_bytes
        )
        return np.asarray(products * largest, dtype=np.float32), places


def choose_gpu_search(
    load_faiss: Callable[[], Any], device: SearchDevice, precision: SearchPrecision
) -> GpuSearch | None:
    """The GPU to search on, or None for the CPU; what `auto` chose, and why, is logged.

    Parameters
    ----------
    load_faiss : imports faiss; called where a GPU may be chosen

    Raises
    ------
    ConfigError
        If the CPU is asked for another precision than its own.
    EngineError
        If the GPU is asked for and cannot be used; the message says what would change that.
    """
    if device is SearchDevice.CPU:
        if precision is not SearchPrecision.FP32:
            raise ConfigError(f"--search-precision {precision.value} needs --search-device gpu; a CPU searches in fp32")
        return None
    try:
        gpu = _gpu_search(load_faiss(), precision)
    except EngineError as error:
        if device is SearchDevice.GPU:
            raise
        _log.info("search device auto: chose cpu, fp32 (%s)", error)
        return None
    _log.info("search device %s: chose gpu, %s", device.value, precision.value)
    return gpu


def _gpu_search(faiss: Any, precision: SearchPrecision) -> GpuSearch:
    if not hasattr(faiss, "StandardGpuResources"):
        raise EngineError(f"no search on a GPU: this faiss is built for the CPU; {_FIX}")
    # Before faiss touches CUDA, for its words about a driver name functions and source lines.
    probe_driver(otherwise="or search with --search-device cpu")
    if faiss.get_num_gpus() < 1:
        raise EngineError(
            "no search on a GPU: faiss finds none that it can use, though the driver has one; its CUDA may be newer"
            " than the driver's: update the driver, or search with --search-device cpu"
        )
    return GpuSearch(faiss, precision)


def last_line(error: Exception) -> str:
    """Give the end of faiss's message, which starts with the C++ function and source line."""
    lines = str(error).strip().splitlines()
    return re.sub(r"^Error in .* at \S+: ", "", lines[-1]) if lines else type(error).__name__
