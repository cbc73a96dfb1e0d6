"""`make bench-gpu`: encoders, decoding and exact search on one device, into benchmarks/results/latency-gpu.json.

Runs by itself on a machine without network: parts that lack a package are skipped by name, and an error ends its part
alone. See docs/gpu-machine.md. `--device cpu --sizes 5000` runs the same code without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.cli import ReportPath, run_command
from benchmarks.gpu.decoder import bench_decoder
from benchmarks.gpu.encoders import bench_builtin, bench_vit
from benchmarks.gpu.search import bench_search
from benchmarks.gpu.timing import DeviceBench
from benchmarks.report.schemas import DeviceReport
from semlink.cli import options
from semlink.config import split_list
from semlink.errors import ConfigError
from semlink.machine import describe_device
from semlink.report import Setting, provenance, require_writable, write_report

HERE = Path(__file__).parents[1]
SIZES = (5_000, 100_000, 1_000_000, 10_000_000)
PARTS = ("vit", "builtin", "search", "decoder", "link")


class Processor(str, Enum):
    """Device that is timed."""

    CPU = "cpu"
    GPU = "gpu"


def main(
    device: Annotated[Processor, options.engine(help="Device to time.")] = Processor.GPU,
    sizes: Annotated[str, options.engine(help="Comma-separated numbers of entries to search.")] = ",".join(
        map(str, SIZES)
    ),
    kb_entries: Annotated[int, options.engine(min=1, help="Entries of the knowledge base of the whole link.")] = 5_000,
    rounds: Annotated[int, options.engine(min=1, help="Timed calls of each part.")] = 300,
    warm_up: Annotated[int, options.engine(min=1, help="Calls of each part that are not timed.")] = 30,
    threads: options.Threads = torch.get_num_threads(),
    parts: Annotated[str, options.engine(help=f"Comma-separated parts, of {', '.join(PARTS)}.")] = ",".join(PARTS),
    out: ReportPath = HERE / "results" / "latency-gpu.json",
) -> None:
    """Time encoders, decoding, exact search and the whole link on one device; exit code 1 if a result was wrong."""
    chosen = split_list(parts, "--parts")
    if unknown := set(chosen) - set(PARTS):
        raise ConfigError(f"--parts: no part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    counts = _counts(sizes)
    if device is Processor.GPU and not torch.cuda.is_available():
        raise ConfigError("no CUDA device that torch can use; see nvidia-smi, or try --device cpu --sizes 5000")
    require_writable(out)
    # Full single precision: TF32 rounds to ten bits, which is another precision than fp32.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(threads)
    settings: dict[str, Setting] = {"host": describe_device(), "threads": threads, "sizes": list(counts)}
    bench = DeviceBench(
        torch.device("cuda" if device is Processor.GPU else "cpu"),
        num_rounds=rounds,
        num_warm_up=warm_up,
        save=lambda bench: write_report(device_report(bench, settings), out),
    )
    work: dict[str, Callable[[], None]] = {
        "vit": lambda: bench_vit(bench),
        "builtin": lambda: bench_builtin(bench),
        "search": lambda: _each(bench, bench_search, counts),
        "decoder": lambda: _each(bench, bench_decoder, counts),
        "link": lambda: _link(bench, kb_entries),
    }
    for part in chosen:
        with bench.part(part):
            work[part]()
    print(f"{len(bench.stages)} stages, {len(bench.skipped)} skipped, {len(bench.failed)} failed: {out}")
    raise typer.Exit(1 if bench.failed else 0)


def _counts(text: str) -> tuple[int, ...]:
    values = split_list(text, "--sizes")
    if not all(value.isdecimal() and int(value) > 0 for value in values):
        raise ConfigError(f'--sizes takes whole numbers from 1 separated by commas, got "{text}"')
    return tuple(map(int, values))


def _each(bench: DeviceBench, part: Callable[[DeviceBench, int], None], sizes: Sequence[int]) -> None:
    for size in sizes:
        part(bench, size)


def _link(bench: DeviceBench, num_entries: int) -> None:
    # The one part that needs ZeroMQ; a machine without it runs the others.
    from benchmarks.gpu.link import bench_link

    bench_link(bench, num_entries)


def device_report(bench: DeviceBench, settings: dict[str, Setting]) -> DeviceReport:
    """The report of a device, of the parts that have run."""
    header = provenance("make bench-gpu")
    header["versions"]["torch"] = str(torch.__version__)
    if bench.is_cuda:
        header["versions"]["cuda"] = str(torch.version.cuda)
        header["device"] = torch.cuda.get_device_name(bench.device)
    return DeviceReport(**header, settings=settings, stages=bench.stages, skipped=bench.skipped, failed=bench.failed)


if __name__ == "__main__":
    run_command(main, "benchmarks.gpu")
