"""`semlink bench`: shows reports as a page, and compares two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.report.compare import DEFAULT_LEAST_CHANGE
from benchmarks.report.compare import compare as compare_reports
from benchmarks.report.files import read_report_file
from benchmarks.report.page import Page
from benchmarks.report.peaks import Peaks
from benchmarks.report.render import as_markdown, write_page
from benchmarks.report.sections import comparison_section, report_section
from semlink.cli import options
from semlink.cli.output import notify_of_files, print_json
from semlink.config import ConfigFile

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Show reports of measurements, and compare them.")

OutPage = Annotated[
    Path | None,
    options.output(
        "--out", help="Page to write, .html or .md, with charts; by default Markdown without charts on standard output."
    ),
]

_SHOW_EPILOG = """Examples:

semlink bench show benchmarks/results/latency.json

semlink bench show latency.json accuracy.json --peak-gb-s 20 --out report.html"""


@app.command(epilog=_SHOW_EPILOG)
def show(
    files: Annotated[list[Path], typer.Argument(help="JSON reports of any kind.")],
    peak_gb_s: Annotated[
        float | None,
        options.engine(help="Bandwidth of the memory in GB/s; adds the least time that each stage could take."),
    ] = None,
    peak_tflop_s: Annotated[float | None, options.engine(help="Peak arithmetic in TFLOP/s, likewise.")] = None,
    out: OutPage = None,
    config: ConfigFile = None,
) -> None:
    """Show reports on one page: the verdict, a chart, the figures, and how they were measured."""
    peaks = Peaks.of(peak_gb_s, peak_tflop_s)
    _write(Page("Reports", tuple(report_section(read_report_file(path), peaks) for path in files)), out)


@app.command(epilog="Example: semlink bench compare new/latency.json old/latency.json --out changes.html")
def compare(
    new: Annotated[Path, typer.Argument(help="Report of the new measurement.")],
    old: Annotated[Path, typer.Argument(help="Report of the old measurement, of the same kind.")],
    least_change: Annotated[
        float, options.output(help="Smallest change of p50 that counts, in per cent; lower it if clocks are locked.")
    ] = 100 * DEFAULT_LEAST_CHANGE,
    as_json: options.AsJson = False,
    out: OutPage = None,
    config: ConfigFile = None,
) -> None:
    """Compare the stages of two reports: faster, slower, or no change beyond noise."""
    newer, older = read_report_file(new).report, read_report_file(old).report
    comparison = compare_reports(newer, older, least_change=least_change / 100)
    if as_json:
        print_json(comparison)
    if out is not None or not as_json:
        _write(Page("Comparison", (comparison_section(comparison, newer, older),)), out)


def _write(page: Page, out: Path | None) -> None:
    if out is None:
        print(as_markdown(page), end="")
        return
    write_page(page, out)
    notify_of_files(out)
