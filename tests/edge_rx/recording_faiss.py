"""faiss's GPU classes without a GPU: they record what is asked of them, and compute on the CPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np


class RecordingFaiss:
    """faiss as a build for GPUs has it; what would be on the GPU is rounded as there, and searched on the CPU."""

    def __init__(self, *, num_gpus: int = 1, failure: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        recorder = self

        class StandardGpuResources:
            def __init__(self) -> None:
                recorder.calls.append(("resources",))

            def setTempMemory(self, num_bytes: int) -> None:  # faiss's name  # noqa: N802
                recorder.calls.append(("temporary", num_bytes))

        class GpuIndexFlatConfig(SimpleNamespace):
            pass

        class GpuIndexFlatIP:
            def __init__(self, resources: StandardGpuResources, index: Any, config: Any) -> None:
                if failure:
                    raise RuntimeError(failure)
                assert isinstance(resources, StandardGpuResources)
                recorder.calls.append(("hold", index.ntotal, index.d, config.device, config.useFloat16))
                self._dtype = np.float16 if config.useFloat16 else np.float32
                self._index = faiss.IndexFlatIP(index.d)
                self._index.add(self._rounded(index.reconstruct_n(0, index.ntotal)))

            def _rounded(self, vectors: np.ndarray) -> np.ndarray:
                return vectors.astype(self._dtype).astype(np.float32)

            def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
                recorder.calls.append(("search", queries.shape, count))
                with np.errstate(over="ignore"):
                    products, places = self._index.search(self._rounded(queries), count)
                return products, places

        self.StandardGpuResources = StandardGpuResources
        self.GpuIndexFlatConfig, self.GpuIndexFlatIP = GpuIndexFlatConfig, GpuIndexFlatIP
        self.get_num_gpus = lambda: num_gpus

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]
