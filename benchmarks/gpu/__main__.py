"""`make bench-gpu`: encoders, decoding and exact search on one device, into benchmarks/results/latency-gpu.json.

Runs by itself on a machine without network: what is missing there is skipped by name, and what goes wrong ends its part
alone. See docs/gpu-machine.md. `--device cpu --sizes 5000` runs the same code where there is no GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from benchmarks.gpu.decoder import bench_decoder
from benchmarks.gpu.encoders import bench_builtin, bench_vit
from benchmarks.gpu.search import bench_search
from benchmarks.gpu.timing import DeviceBench
from semlink.errors import ResultsError
from semlink.files import replaced_file
from semlink.machine import describe_device, installed_versions, machine_state, now_utc, require_writable

HERE = Path(__file__).parents[1]
SIZES = (5_000, 100_000, 1_000_000, 10_000_000)
PARTS = ("vit", "builtin", "search", "decoder", "link")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 if a result was wrong or a part broke."""
    options = _parsed(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device that torch can use; see nvidia-smi, or try --device cpu --sizes 5000", file=sys.stderr)
        return 2
    try:
        require_writable(options.out)
    except ResultsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    # Full single precision: TF32 rounds to ten bits, and would be another row's promise.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(options.num_threads)
    device = torch.device(options.device)
    start, commit = now_utc(), _commit()
    bench = DeviceBench(
        device,
        num_rounds=options.rounds,
        num_warm_up=options.warm_up,
        save=lambda done: _write(options.out, _report(done, start, commit)),
    )
    work: dict[str, Callable[[], None]] = {
        "vit": lambda: bench_vit(bench),
        "builtin": lambda: bench_builtin(bench),
        "search": lambda: _search(bench, options.sizes),
        "decoder": lambda: _decoder(bench, options.sizes),
        "link": lambda: _link(bench, options.kb_entries),
    }
    for part in options.parts:
        with bench.part(part):
            work[part]()
    print(f"{len(bench.rows)} rows, {len(bench.skipped)} skipped, {len(bench.failed)} failed: {options.out}")
    return 1 if bench.failed else 0


def _search(bench: DeviceBench, sizes: Sequence[int]) -> None:
    for size in sizes:
        bench_search(bench, size)


def _decoder(bench: DeviceBench, sizes: Sequence[int]) -> None:
    for size in sizes:
        bench_decoder(bench, size)


def _link(bench: DeviceBench, num_entries: int) -> None:
    # The one part that needs ZeroMQ; a machine without it runs the others.
    from benchmarks.gpu.link import bench_link

    bench_link(bench, num_entries)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--sizes", type=_positive, nargs="+", default=SIZES, help="entries to search")
    parser.add_argument("--kb-entries", type=_positive, default=5_000, help="entries of the link's knowledge base")
    parser.add_argument("--rounds", type=_positive, default=300, help="timed calls of each part")
    parser.add_argument("--warm-up", type=_positive, default=30, help="calls before them")
    parser.add_argument(
        "--num-threads", type=_positive, default=torch.get_num_threads(), help="of what runs on the CPU"
    )
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "latency-gpu.json")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _report(bench: DeviceBench, start: str, commit: dict[str, Any]) -> dict[str, Any]:
    """In the shape of latency.json, with what was skipped and what failed."""
    versions = installed_versions() | {"torch": str(torch.__version__)}
    if bench.is_cuda:
        versions["cuda"] = str(torch.version.cuda)
    return {
        "command": "make bench-gpu",
        "date": start,
        "device": torch.cuda.get_device_name(bench.device) if bench.is_cuda else describe_device(),
        "host": describe_device(),
        "num_threads": torch.get_num_threads(),
        "versions": versions,
        "machine_state": msgspec.to_builtins(machine_state()),
        "commit": commit,
        "benchmarks": bench.rows,
        "skipped": bench.skipped,
        "failed": bench.failed,
    }


def _commit() -> dict[str, Any]:
    """What was measured, where git can tell: a copy of the tree need not have it."""
    try:
        head, changes = (
            subprocess.run(["git", *command], cwd=HERE, capture_output=True, text=True, check=True, timeout=10).stdout
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"id": head.strip(), "dirty": bool(changes.strip())}


def _write(path: Path, report: dict[str, Any]) -> None:
    with replaced_file(path) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
