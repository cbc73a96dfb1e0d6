"""Timing on one device: host wall clock and CUDA events, each result checked, each part that cannot run named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch

from benchmarks.report.schemas import DevicePart
from engines.backends.target import missing_for_tensorrt
from semlink.errors import EngineError, MissingDependencyError
from semlink.machine import machine_state
from semlink.report import Scalar, Stage
from semlink.timing import summarize_latency

__all__ = ["DeviceBench", "SkipPart", "captured"]


class SkipPart(Exception):  # noqa: N818  # no error: this machine lacks something
    """Ends a part that this machine cannot run; the message is the reason."""


class DeviceBench:
    """Stages of a report on one device.

    Parameters
    ----------
    device : torch's; everything that is timed runs there
    num_rounds, num_warm_up : calls of each part, timed and not
    save : called after each part, so that an interrupted run keeps its results
    """

    def __init__(
        self, device: torch.device, *, num_rounds: int, num_warm_up: int, save: Callable[[DeviceBench], None]
    ) -> None:
        self.device = device
        self.num_rounds, self.num_warm_up = num_rounds, num_warm_up
        self.stages: list[Stage] = []
        self.skipped: list[DevicePart] = []
        self.failed: list[DevicePart] = []
        self._save = save

    @property
    def is_cuda(self) -> bool:
        """Whether the device has CUDA events and graphs."""
        return self.device.type == "cuda"

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run one part: one that cannot run is skipped by name, an error ends the part and not the run."""
        print(f"{name} ...", flush=True)
        try:
            yield
        except (SkipPart, EngineError, MissingDependencyError) as reason:
            self._skip(name, str(reason))
        except torch.cuda.OutOfMemoryError as error:
            self._skip(name, ". ".join(str(error).split(". ")[:2]))
        except ModuleNotFoundError as error:
            self._skip(name, f"not installed: {error.name}")
        except Exception as error:  # noqa: BLE001  # one part that breaks must not cost the others
            message = (str(error).strip().splitlines() or [""])[0]
            self.failed.append(DevicePart(name, f"{type(error).__name__}: {message}"))
            print(f"  FAILED: {self.failed[-1].reason}", flush=True)
        if self.is_cuda:
            torch.cuda.empty_cache()
        self._save(self)

    def _skip(self, name: str, reason: str) -> None:
        self.skipped.append(DevicePart(name, reason))
        print(f"  skipped: {reason}", flush=True)

    def time(
        self,
        name: str,
        call: Callable[[int], Any],
        check: Callable[[int, Any], None],
        *,
        has_events: bool = True,
        bytes_moved: float | None = None,
        operations: float | None = None,
        notes: Mapping[str, Scalar] | None = None,
    ) -> None:
        """Time `call(number)` from an empty queue to its result on the host; a second stage where CUDA events apply.

        Parameters
        ----------
        call : puts its work on torch's current stream, copies included; its result is read after the device is idle
        check : raises if the result is wrong; runs after every call and is not timed
        has_events : False if the work is on a stream of its own, which torch's events do not cover
        bytes_moved, operations : of one call, see `Stage`
        notes : of the stage
        """
        has_events = has_events and self.is_cuda
        host_s, device_s = [], []
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2)) if has_events else (None, None)
        self.synchronize()
        for number in range(self.num_warm_up + self.num_rounds):
            began_s = time.perf_counter()
            if start is not None and end is not None:
                start.record()
                result = call(number)
                end.record()
                end.synchronize()
            else:
                result = call(number)
                self.synchronize()
            took_s = time.perf_counter() - began_s
            check(number, result)
            if number >= self.num_warm_up:
                host_s.append(took_s)
                if start is not None and end is not None:
                    device_s.append(start.elapsed_time(end) / 1e3)
        clocks = _clocks() if self.is_cuda else {}
        for stage, times_s, clock in ((name, host_s, "host wall"), (f"{name}_on_device", device_s, "CUDA events")):
            if times_s:
                all_notes = {"clock": clock, **(notes or {}), **clocks}
                self.add(stage, times_s, all_notes, bytes_moved=bytes_moved, operations=operations)

    def add(
        self,
        name: str,
        times_s: list[float],
        notes: Mapping[str, Scalar],
        *,
        bytes_moved: float | None = None,
        operations: float | None = None,
    ) -> None:
        """Keep a stage."""
        stage = Stage.of(
            name,
            summarize_latency([1e3 * time_s for time_s in times_s]),
            is_end_to_end=name.startswith("end_to_end"),
            notes={"device": self.device.type, **notes},
        )
        self.stages.append(msgspec.structs.replace(stage, bytes_moved=bytes_moved, operations=operations))
        print(f"  {name:64} p50 {stage.p50_ms:9.4f}  p99 {stage.p99_ms:9.4f} ms", flush=True)

    def synchronize(self) -> None:
        """Wait until the device is idle."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def require_free(self, num_bytes: int) -> None:
        """Skip a part that does not fit; a tenth of the free memory is left for scratch space."""
        free = torch.cuda.mem_get_info(self.device)[0] if self.is_cuda else host_free_bytes()
        if num_bytes > 0.9 * free:
            where = "the GPU" if self.is_cuda else "the host"
            raise SkipPart(f"needs {num_bytes / 2**30:.1f} GiB of {where}, of which {free / 2**30:.1f} GiB are free")

    def require_tensorrt(self) -> None:
        """Skip a part that runs in TensorRT if that is not installed, or there is no GPU."""
        if missing := missing_for_tensorrt():
            raise SkipPart(f"not installed: {', '.join(missing)}")
        if not self.is_cuda:
            raise SkipPart("TensorRT needs a GPU")

    def pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        """Host memory that the GPU reads and writes directly; plain memory without a GPU."""
        return tensor.pin_memory() if self.is_cuda else tensor


def _clocks() -> dict[str, float]:
    """The GPU's clock, still that of the measurement; empty if the driver does not report it."""
    gpus = machine_state().gpus
    return {"sm_mhz": gpus[0].sm_mhz} if gpus and gpus[0].sm_mhz is not None else {}


def host_free_bytes() -> int:
    """Memory that is free for new allocations, file caches included."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise SkipPart("this kernel does not report the available memory")


def captured(work: Callable[[], None]) -> Callable[[], None]:
    """Record `work`, which allocates and copies on the GPU alone, as a CUDA graph; a function that replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    # Libraries make their handles and choose their kernels in the first calls, which cannot be recorded.
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Callable[[], None] = graph.replay
    return replay
