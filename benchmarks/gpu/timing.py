"""Timing on one device: host wall clock and CUDA events, each result checked, each refusal kept by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.run import percentiles_ms
from engines.backends.target import missing_for_tensorrt
from semlink.errors import EngineError, MissingDependencyError
from semlink.machine import machine_state

__all__ = ["DeviceBench", "SkipPart", "captured"]


class SkipPart(Exception):  # noqa: N818  # no error: this machine lacks something
    """What this machine cannot run, and why."""


class DeviceBench:
    """Rows of a report, of one device.

    Parameters
    ----------
    device : torch's; everything that is timed runs there
    num_rounds, num_warm_up : calls of each part, timed and not
    save : called after each part, so that a run that is cut off keeps what it has
    """

    def __init__(
        self, device: torch.device, *, num_rounds: int, num_warm_up: int, save: Callable[[DeviceBench], None]
    ) -> None:
        self.device = device
        self.num_rounds, self.num_warm_up = num_rounds, num_warm_up
        self.rows: list[dict[str, Any]] = []
        self.skipped: list[dict[str, str]] = []
        self.failed: list[dict[str, str]] = []
        self._save = save

    @property
    def is_cuda(self) -> bool:
        """Whether there are CUDA events and graphs."""
        return self.device.type == "cuda"

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """One part: what cannot run is skipped by name, what goes wrong ends the part and not the run."""
        print(f"{name} ...", flush=True)
        try:
            yield
        except (SkipPart, EngineError, MissingDependencyError) as reason:
            self._skip(name, str(reason))
        except torch.cuda.OutOfMemoryError as error:
            self._skip(name, ". ".join(str(error).split(". ")[:2]))
        except ModuleNotFoundError as error:
            self._skip(name, f"not installed: {error.name}")
        except Exception as error:  # noqa: BLE001  # one part that breaks is not to cost the others
            words = (str(error).strip().splitlines() or [""])[0]
            self.failed.append({"name": name, "error": f"{type(error).__name__}: {words}"})
            print(f"  FAILED: {self.failed[-1]['error']}", flush=True)
        if self.is_cuda:
            torch.cuda.empty_cache()
        self._save(self)

    def _skip(self, name: str, reason: str) -> None:
        self.skipped.append({"name": name, "reason": reason})
        print(f"  skipped: {reason}", flush=True)

    def time(
        self,
        name: str,
        call: Callable[[int], Any],
        check: Callable[[int, Any], None],
        *,
        has_events: bool = True,
        **notes: str | float | bool,
    ) -> None:
        """Time `call(number)` from a cold queue to its result on the host; two rows where CUDA events can see it.

        Parameters
        ----------
        call : puts its work on torch's current stream, copies included; what it returns is read after the device
            is done
        check : raises if the result is wrong; runs after every call, outside the time
        has_events : False where the work is on a stream of its own, which torch's events do not see
        notes : for the row
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
        if self.is_cuda:
            notes |= _clocks()
        self.add(name, host_s, clock="host wall", **notes)
        if device_s:
            self.add(f"{name}_on_device", device_s, clock="CUDA events", **notes)

    def add(self, name: str, times_s: list[float], **notes: str | float | bool) -> None:
        """Keep a row of `semlink bench-report`'s shape."""
        row = {
            "name": name,
            "num_rounds": len(times_s),
            **percentiles_ms(times_s),
            "device": self.device.type,
            **notes,
        }
        self.rows.append(row)
        print(f"  {name:64} p50 {row['p50_ms']:9.4f}  p99 {row['p99_ms']:9.4f} ms", flush=True)

    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def require_free(self, num_bytes: int) -> None:
        """Skip what does not fit: a tenth is left for scratch memory."""
        free = torch.cuda.mem_get_info(self.device)[0] if self.is_cuda else host_free_bytes()
        if num_bytes > 0.9 * free:
            where = "the GPU" if self.is_cuda else "the host"
            raise SkipPart(f"needs {num_bytes / 2**30:.1f} GiB of {where}, of which {free / 2**30:.1f} GiB are free")

    def require_tensorrt(self) -> None:
        """Skip what runs in TensorRT where it is not installed, or there is no GPU."""
        if missing := missing_for_tensorrt():
            raise SkipPart(f"not installed: {', '.join(missing)}")
        if not self.is_cuda:
            raise SkipPart("TensorRT needs a GPU")

    def pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        """Host memory that the GPU copies from and to by itself; plain memory without one."""
        return tensor.pin_memory() if self.is_cuda else tensor


def _clocks() -> dict[str, float]:
    """The GPU's clock while it is still that of the measurement; nothing where the driver does not tell."""
    gpus = machine_state().gpus
    return {"sm_mhz": gpus[0].sm_mhz} if gpus and gpus[0].sm_mhz is not None else {}


def host_free_bytes() -> int:
    """Memory that new allocations can have, caches of files included."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise SkipPart("this kernel does not tell how much memory is available")


def captured(work: Callable[[], None]) -> Callable[[], None]:
    """Record `work`, which allocates and copies on the GPU alone, as a CUDA graph; what replays it."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    # Libraries make their handles and choose their kernels in the first calls, which cannot be recorded.
    with torch.cuda.stream(aside):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Callable[[], None] = graph.replay
    return replay
