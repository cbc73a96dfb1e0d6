"""`make bench-demo`: what `semlink demo` measures and how long it takes, for the README, and the picture at its top.

The command runs a few times as a process of its own, from its start to its end. The run of least time is reported, for
other work of the machine only adds to it. The photographs of the picture are free of rights, as scikit-image says in
`skimage.data`: "astronaut" is NASA's and in the public domain; "chelsea" by Stefan van der Walt and "coffee" by Rachel
Michetti are CC0.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from rich.console import Console

from benchmarks.cli import ReportPath, run_command
from semlink.cli import options
from semlink.cli.output import notify, stderr_console
from semlink.cli.progress import progress_bars
from semlink.errors import ConfigError, ResultsError
from semlink.rates import parse_rate
from semlink.report import read_report, require_writable, write_report
from trainer.demo.config import DemoConfig
from trainer.demo.report import DemoReport, summary_table
from trainer.demo.run import PICTURE_FILE, REPORT_FILE, run_demo

__all__ = ["TimedDemoReport", "draw_picture", "readme_with", "time_demo"]

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks" / "results" / "demo.json"
PICTURE = ROOT / "docs" / "demo.webp"
README = ROOT / "README.md"
NUM_RUNS = 3
SHOWN = ("astronaut", "chelsea", "coffee")
"""Photographs of the picture; their rights are in this module's docstring."""

_FIRST_RUN = "images are correct"
"""What the demonstration says of a finished run."""
_BLOCK = re.compile(r"(<!-- demo -->\n).*(<!-- end of demo -->\n)", re.DOTALL)
_WIDTH = 100


class TimedDemoReport(DemoReport, frozen=True, kw_only=True):
    """The demonstration's report, and the time of the whole command.

    Attributes
    ----------
    wall_s : from the start of the process to its end [s]
    first_run_s : to the line of the first finished run [s]
    cpu_s : user and system time of all its processes [s]
    """

    wall_s: float
    first_run_s: float
    cpu_s: float


@dataclass(frozen=True)
class _Times:
    wall_s: float
    first_run_s: float
    cpu_s: float


def main(
    runs: Annotated[int, options.engine(min=1, help="How often the demonstration is run.")] = NUM_RUNS,
    out: ReportPath = REPORT,
    picture: Annotated[Path, options.output(help="Picture of photographs, WebP.")] = PICTURE,
    readme: Annotated[Path, options.output(help="Page whose block of the demonstration is rewritten.")] = README,
) -> None:
    """Time the demonstration, and write its report, its picture and the README's block."""
    require_writable(out)
    text = readme.read_text(encoding="utf-8")
    require_block(text, readme)
    with tempfile.TemporaryDirectory(prefix="semlink-bench-demo-") as folder:
        report = time_demo(Path(folder), runs)
        draw_picture(Path(folder, "picture"), picture)
    write_report(report, out)
    readme.write_text(readme_with(text, report), encoding="utf-8")


def time_demo(folder: Path, num_runs: int, *arguments: str) -> TimedDemoReport:
    """Run `semlink demo` some times; the report of the run of least time.

    Parameters
    ----------
    folder : for the reports
    arguments : more options of the command
    """
    reports = []
    for number in range(num_runs):
        out = folder / f"run-{number}"
        times = _time_command("demo", "--out", str(out), *arguments)
        fields = msgspec.structs.asdict(read_report(out / REPORT_FILE, DemoReport))
        reports.append(TimedDemoReport(**{**fields, **vars(times)}))
        notify(
            stderr_console(), f"run {number + 1}: {times.wall_s:.1f} s, first result after {times.first_run_s:.1f} s"
        )
    best = min(reports, key=lambda report: report.wall_s)
    return msgspec.structs.replace(best, command="make bench-demo")


def draw_picture(folder: Path, path: Path) -> None:
    """Send the photographs with `adapted`, and copy the picture that comes of it."""
    config = DemoConfig(datasets=("photos",), codecs=("adapted",), rates=(parse_rate("64"),), categories=SHOWN)
    with progress_bars(stderr_console()) as progress:
        run_demo(config, folder, progress=progress)
    shutil.copyfile(folder / PICTURE_FILE, path)


def require_block(text: str, page: Path) -> None:
    """Check before anything is measured that a page has the block; ConfigError if not."""
    if _BLOCK.search(text) is None:
        raise ConfigError(
            f"{page} has no lines <!-- demo --> and <!-- end of demo --> around the demonstration's figures"
        )


def readme_with(text: str, report: TimedDemoReport) -> str:
    """The page with the figures of a report between its marks."""
    console = Console(width=_WIDTH, color_system=None)
    with console.capture() as printed:
        console.print(summary_table(report))
    table = "\n".join(line.rstrip() for line in printed.get().splitlines())
    device = report.device.partition(", Linux")[0]
    block = (
        f"On {device}, the demonstration took {report.wall_s:.0f} s without the installation"
        f" ({report.cpu_s:.0f} s of CPU time), and\nshowed its first finished run after {report.first_run_s:.0f} s."
        f" At its end it prints:\n\n```\n{table}\n```\n"
    )
    return _BLOCK.sub(lambda match: f"{match[1]}{block}{match[2]}", text)


def _time_command(*arguments: str) -> _Times:
    """Run a semlink command, and look for the first finished run in what it says."""
    start_s, before = time.monotonic(), os.times()
    first_run_s: float | None = None
    lines: list[str] = []
    command = [sys.executable, "-m", "semlink", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            lines.append(line.rstrip())
            if first_run_s is None and _FIRST_RUN in line:
                first_run_s = time.monotonic() - start_s
    wall_s, after = time.monotonic() - start_s, os.times()
    if process.returncode or first_run_s is None:
        raise ResultsError(f"semlink {' '.join(arguments)} failed: {' / '.join(lines[-3:])}")
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return _Times(round(wall_s, 2), round(first_run_s, 2), round(cpu_s, 2))


if __name__ == "__main__":
    run_command(main, "benchmarks.demo")
