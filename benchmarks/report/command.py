"""`semlink bench-report`: any set of benchmark reports as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.report.compare import DEFAULT_LEAST_CHANGE, compare, older_of
from benchmarks.report.files import read_bench_file
from benchmarks.report.page import Peaks, build_page
from benchmarks.report.render import as_markdown, require_renderer, write_page
from semlink.config import ConfigFile

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command(
    short_help="Show benchmark reports, and compare them.",
    epilog="Example: semlink bench-report now/latency.json --against before/latency.json --out report.html",
)
def bench_report(
    files: Annotated[list[Path], typer.Argument(help="JSON of make bench, engine bench, side by side, or demo.")],
    against: Annotated[
        list[Path] | None,
        typer.Option(help="An older report to compare with; may be given several times.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help=".md or .html; Markdown on stdout if not given.", show_default=False)
    ] = None,
    least_change: Annotated[
        float, typer.Option(help="Smallest change of p50 that counts, in per cent; less where clocks are locked.")
    ] = 100 * DEFAULT_LEAST_CHANGE,
    peak_gb_s: Annotated[
        float | None, typer.Option(help="The memory's bandwidth, for the share of its floor.", show_default=False)
    ] = None,
    peak_tflop_s: Annotated[
        float | None, typer.Option(help="Peak arithmetic, for the share of its floor.", show_default=False)
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Put benchmark reports on one page, in Markdown or HTML, and say what changed since older ones."""
    peaks = Peaks(
        bytes_per_s=None if peak_gb_s is None else peak_gb_s * 1e9,
        operations_per_s=None if peak_tflop_s is None else peak_tflop_s * 1e12,
    )
    if out is not None:
        require_renderer(out)
    newer = [read_bench_file(path) for path in files]
    older = [read_bench_file(path) for path in against or ()]
    pairs = [(file, older_of(file, older)) for file in newer]
    page = build_page(
        newer,
        [compare(file, before, least_change=least_change / 100) for file, before in pairs if before is not None],
        uncompared=[file for file, before in pairs if before is None] if older else [],
        peaks=peaks,
    )
    if out is None:
        typer.echo(as_markdown(page), nl=False)
        return
    write_page(page, out)
    typer.echo(f"wrote {out}")
