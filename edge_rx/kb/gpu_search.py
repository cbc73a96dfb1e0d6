"""Search on a GPU: vectors are copied there once, answers come back; queries go there, or are there already.

Nothing here imports faiss: `edge_rx.kb.index` does, and hands it over.

Source: FAISS wiki, "Faiss on the GPU"; faiss/gpu/GpuIndexFlat.h; GpuIndex.h, whose search takes queries "resident on
the CPU or any GPU".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edge_rx.kb.approximate import SearchIndex, cagra_on_gpu, lists_on_gpu
from engines.backends.cuda_driver import probe_driver
from engines.backends.runner import DeviceView
from engines.backends.target import CPU, Device
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError, install_command

__all__ = ["GpuSearch", "HeldVectors", "SearchPrecision", "choose_gpu_search", "last_line"]

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MAX_MATCHES = {SearchIndex.FLAT: 2048, SearchIndex.IVF: 2048, SearchIndex.CAGRA: 64}
"""What one search on a GPU can give (faiss, `getMaxKSelection`; SearchParametersCagra, `itopk_size`)."""
_TEMPORARY_BYTES = 256 * 2**20
"""Scratch memory that faiss takes once; left to itself it takes 1.5 GiB of a large GPU."""
_FIX = f"pip uninstall faiss-cpu, then {install_command('gpu')}; or --device cpu"


class SearchPrecision(str, Enum):
    """How a GPU holds the vectors that it searches; products are summed in single precision."""

    FP32 = "fp32"
    FP16 = "fp16"


class GpuSearch:
    """A GPU, for the searches of one process; make one, and use it from one thread at a time.

    Parameters
    ----------
    faiss : the module, of a build for GPUs
    precision : of the vectors held
    number : number of the GPU, in the driver's order
    """

    def __init__(self, faiss: Any, precision: SearchPrecision = SearchPrecision.FP32, *, number: int = 0) -> None:
        self.precision, self.number = precision, number
        self.faiss = faiss
        self._resources = self.guarded(faiss.StandardGpuResources, _TEMPORARY_BYTES)
        self.guarded(lambda: self._resources.setTempMemory(_TEMPORARY_BYTES), _TEMPORARY_BYTES)

    def hold(self, index: Any, kind: SearchIndex = SearchIndex.FLAT) -> HeldVectors:
        """Copy the vectors of a flat index of inner products to the GPU.

        Parameters
        ----------
        kind : how to search them there; any but flat is for vectors of unit length

        Raises
        ------
        EngineError
            If they do not fit, the GPU fails, or faiss has no such index.
        """
        is_half = self.precision is SearchPrecision.FP16
        num_bytes = index.ntotal * index.d * (2 if is_half else 4)
        make = {
            SearchIndex.FLAT: lambda: self._flat(index, is_half=is_half),
            SearchIndex.IVF: lambda: lists_on_gpu(
                self.faiss, self._resources, index, is_half=is_half, number=self.number
            ),
            SearchIndex.CAGRA: lambda: cagra_on_gpu(self.faiss, self._resources, index, number=self.number),
        }
        held = self.guarded(make[kind], num_bytes)
        description = (kind.value, index.ntotal, index.d, self.precision.value, num_bytes)
        _log.info("search: %s, %d x %d on the GPU, %s, %d bytes", *description)
        return HeldVectors(self, held, num_bytes, kind)

    def _flat(self, index: Any, *, is_half: bool) -> Any:
        config = self.faiss.GpuIndexFlatConfig()
        config.device = self.number
        config.useFloat16 = is_half
        return self.faiss.GpuIndexFlatIP(self._resources, index, config)

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
                    f" --device cpu ({words})"
                ) from None
            raise EngineError(f"search on the GPU failed: {words}; --device cpu does without it") from None

    def _smaller(self) -> str:
        return "hold them with --search-precision fp16, " if self.precision is SearchPrecision.FP32 else ""


class HeldVectors:
    """Vectors on the GPU; `GpuSearch.hold` makes them."""

    def __init__(self, gpu: GpuSearch, index: Any, num_bytes: int, kind: SearchIndex) -> None:
        self._gpu, self._index, self._num_bytes, self._kind = gpu, index, num_bytes, kind

    def search(
        self, queries: npt.NDArray[np.float32], num_matches: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Largest inner products (q, m) and their row numbers, best first, as faiss gives them on a CPU.

        Raises
        ------
        EngineError
            If the GPU fails.
        KnowledgeBaseError
            If more matches are asked for than a GPU gives.
        """
        self._check(num_matches)
        if self._gpu.precision is SearchPrecision.FP32:
            products, rows = self._gpu.guarded(lambda: self._index.search(queries, num_matches), self._num_bytes)
            return self._products(products), rows
        # The GPU rounds queries to half precision too, which ends at 65504: with much noise a query is beyond that.
        largest = np.maximum(np.abs(queries).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        products, rows = self._gpu.guarded(
            lambda: self._index.search(np.ascontiguousarray(queries / largest), num_matches), self._num_bytes
        )
        return np.asarray(products * largest, dtype=np.float32), rows

    def search_on_device(
        self, queries: DeviceView, num_matches: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """The same for queries of unit length (q, dim) float32 in the GPU's memory; row -1 for one that is NaN."""
        self._check(num_matches)
        faiss, num_queries = self._gpu.faiss, queries.shape[0]
        products = np.empty((num_queries, num_matches), np.float32)
        rows = np.empty((num_queries, num_matches), np.int64)
        # faiss copies back what it is given host memory for, and waits for it.
        results = (faiss.swig_ptr(products), faiss.swig_ptr(rows))
        pointer = faiss.cast_integer_to_float_ptr(queries.pointer)
        self._gpu.guarded(lambda: self._index.search_c(num_queries, pointer, num_matches, *results), self._num_bytes)
        products = self._products(products)
        return products, np.where(np.isfinite(products), rows, -1)

    def _check(self, num_matches: int) -> None:
        most = _MAX_MATCHES[self._kind]
        if num_matches > most:
            raise KnowledgeBaseError(
                f"num_matches must be at most {most} on a GPU, got {num_matches}; search on the CPU for more"
            )

    def _products(self, found: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What cagra gives are squared distances of unit vectors, 2 - 2 cos."""
        return np.asarray(1 - found / 2, dtype=np.float32) if self._kind is SearchIndex.CAGRA else found


def choose_gpu_search(
    load_faiss: Callable[[], Any],
    device: str,
    precision: SearchPrecision,
    kind: SearchIndex = SearchIndex.FLAT,
) -> GpuSearch | None:
    """The GPU to search on, or None for the CPU; what `auto` chose, and why, is logged.

    Parameters
    ----------
    load_faiss : imports faiss; called where a GPU may be chosen
    device : cpu, gpu, gpu:N or auto, see `engines.backends.target.Device.parse`
    kind : of the index that features will be searched with

    Raises
    ------
    ConfigError
        If there is no such device, or the CPU is asked for another precision than its own, or for an index that needs
        a GPU.
    EngineError
        If the GPU is asked for and cannot be used; the message says what would change that.
    """
    chosen = Device.parse(device)
    if kind is SearchIndex.CAGRA and (chosen is None or chosen == CPU):
        raise ConfigError("--search-index cagra needs --device gpu")
    if kind is SearchIndex.CAGRA and precision is not SearchPrecision.FP32:
        raise ConfigError("--search-index cagra holds fp32 vectors; leave --search-precision out")
    if chosen == CPU:
        if precision is not SearchPrecision.FP32:
            raise ConfigError(f"--search-precision {precision.value} needs --device gpu; a CPU searches in fp32")
        return None
    try:
        gpu = _gpu_search(load_faiss(), precision, number=(chosen or Device(0)).gpu or 0)
    except EngineError as error:
        if chosen is not None:
            raise
        _log.info("search device auto: chose cpu, fp32 (%s)", error)
        return None
    _log.info("search device %s: chose gpu:%d, %s", device, gpu.number, precision.value)
    return gpu


def _gpu_search(faiss: Any, precision: SearchPrecision, *, number: int) -> GpuSearch:
    if not hasattr(faiss, "StandardGpuResources"):
        raise EngineError(f"no search on a GPU: this faiss is built for the CPU; {_FIX}")
    # Before faiss touches CUDA, for its words about a driver name functions and source lines.
    probe_driver(otherwise="or search with --device cpu")
    num_gpus = faiss.get_num_gpus()
    if num_gpus < 1:
        raise EngineError(
            "no search on a GPU: faiss finds none that it can use, though the driver has one; its CUDA may be newer"
            " than the driver's: update the driver, or search with --device cpu"
        )
    if number >= num_gpus:
        raise EngineError(
            f"no search on gpu:{number}: faiss finds {num_gpus}, the last is gpu:{num_gpus - 1};"
            " choose another with --device, or cpu"
        )
    return GpuSearch(faiss, precision, number=number)


def last_line(error: Exception) -> str:
    """Give the end of faiss's message, which starts with the C++ function and source line."""
    lines = str(error).strip().splitlines()
    return re.sub(r"^Error in .* at \S+: ", "", lines[-1]) if lines else type(error).__name__
