"""faiss's GPU classes without a GPU: they record what is asked of them, and compute on the CPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np


class RecordingFaiss:
    """faiss as a build for GPUs has it; what would be on the GPU is rounded as there, and searched on the CPU.

    Device pointers are taken as faiss takes them: by its own casts, and read where they point.
    """

    def __init__(self, *, num_gpus: int = 1, failure: str = "", has_cuvs: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        recorder = self

        class StandardGpuResources:
            def __init__(self) -> None:
                recorder.calls.append(("resources",))

            def setTempMemory(self, num_bytes: int) -> None:  # faiss's name  # noqa: N802
                recorder.calls.append(("temporary", num_bytes))

        class Config(SimpleNamespace):
            pass

        class OnCpu:
            """An index of faiss for the CPU in a GPU's place."""

            def __init__(self, resources: StandardGpuResources, index: Any) -> None:
                if failure:
                    raise RuntimeError(failure)
                assert isinstance(resources, StandardGpuResources)
                self._index = index

            def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
                recorder.calls.append(("search", queries.shape, count))
                return self._index.search(queries, count)

            def search_c(self, num_queries: int, pointer: Any, count: int, products: Any, slices: Any) -> None:
                recorder.calls.append(("search_c", num_queries, count))
                self._index.search_c(num_queries, pointer, count, products, slices)

        class GpuIndexFlatIP(OnCpu):
            def __init__(self, resources: StandardGpuResources, index: Any, config: Any) -> None:
                super().__init__(resources, faiss.IndexFlatIP(index.d))
                recorder.calls.append(("hold", index.ntotal, index.d, config.device, config.useFloat16))
                self._dtype = np.float16 if config.useFloat16 else np.float32
                self._index.add(self._rounded(index.reconstruct_n(0, index.ntotal)))

            def _rounded(self, vectors: np.ndarray) -> np.ndarray:
                return vectors.astype(self._dtype).astype(np.float32)

            def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
                with np.errstate(over="ignore"):
                    return super().search(self._rounded(queries), count)

        class Trained(OnCpu):
            """One that is made empty, with settings of its search."""

            nprobe: int
            cp: Any

            def train(self, vectors: np.ndarray) -> None:
                recorder.calls.append(("train", vectors.shape))
                self._index.nprobe, self._index.cp = self.nprobe, self.cp
                self._index.train(vectors)

            def add(self, vectors: np.ndarray) -> None:
                self._index.add(vectors)

        class GpuIndexIVFFlat(Trained):
            def __init__(self, resources: Any, dim: int, num_lists: int, metric: int, config: Any) -> None:
                super().__init__(resources, faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, num_lists, metric))
                recorder.calls.append(("ivf", dim, num_lists, metric, config.device))
                self.cp = self._index.cp

        class GpuIndexIVFScalarQuantizer(Trained):
            def __init__(
                self, resources: Any, dim: int, num_lists: int, kind: int, metric: int, residual: bool, config: Any
            ) -> None:
                quantizer = faiss.IndexFlatIP(dim)
                index = faiss.IndexIVFScalarQuantizer(quantizer, dim, num_lists, kind, metric, residual)
                super().__init__(resources, index)
                assert kind == faiss.ScalarQuantizer.QT_fp16
                recorder.calls.append(("ivf fp16", dim, num_lists, metric, residual, config.device))
                self.cp = self._index.cp

        class GpuIndexCagra(OnCpu):
            def __init__(self, resources: Any, dim: int, metric: int, config: Any) -> None:
                assert metric == faiss.METRIC_L2
                super().__init__(resources, faiss.IndexFlatL2(dim))
                recorder.calls.append(("cagra", dim, config.device))

            def train(self, vectors: np.ndarray) -> None:
                self._index.add(vectors)

        self.StandardGpuResources = StandardGpuResources
        self.GpuIndexFlatConfig = self.GpuIndexIVFFlatConfig = self.GpuIndexIVFScalarQuantizerConfig = Config
        self.GpuIndexFlatIP, self.GpuIndexIVFFlat = GpuIndexFlatIP, GpuIndexIVFFlat
        self.GpuIndexIVFScalarQuantizer = GpuIndexIVFScalarQuantizer
        if has_cuvs:
            self.GpuIndexCagra, self.GpuIndexCagraConfig = GpuIndexCagra, Config
        self.get_num_gpus = lambda: num_gpus

    def __getattr__(self, name: str) -> Any:
        """What is no GPU's is faiss's own."""
        return getattr(faiss, name)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]
