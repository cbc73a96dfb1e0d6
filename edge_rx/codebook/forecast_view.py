"""A forecast for people: a table on the terminal, and a plot with a panel for each rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge_rx.codebook.forecast import ForecastCell, ForecastReport
from semlink.plot_files import require_plottable, save_figure
from semlink.rates import parse_rate

__all__ = ["plot_forecast", "print_forecast"]

_PANEL_INCHES = (3.6, 3.4)


def print_forecast(report: ForecastReport, console: Console) -> None:
    """Print the table, and what it is a forecast of."""
    snrs = _snrs(report)
    table = Table("codec", "symbols", *(f"{snr_db:g} dB" for snr_db in snrs))
    for codec, num_symbols in dict.fromkeys((cell.codec, cell.num_symbols) for cell in report.cells):
        cells = {cell.snr_db: cell for cell in _curve(report.cells, codec, num_symbols)}
        table.add_row(codec, str(num_symbols), *(_text(cells[snr_db]) for snr_db in snrs))
    console.print(table)
    if report.noiseless_accuracy is None:
        console.print(
            f"share of the nearest entry; {report.num_sent} of {report.num_entries} entries sent, none with a label",
            soft_wrap=True,
        )
        return
    console.print(
        f"accuracy with 95 % interval; {report.num_sent} of {report.num_entries} entries sent to the rest,"
        f" {report.num_labels} labels; nearest entry without channel {report.noiseless_accuracy:.3f}",
        soft_wrap=True,
    )


def plot_forecast(report: ForecastReport, path: Path) -> None:
    """Draw accuracy, or the share of the nearest entry without labels, against SNR.

    Raises
    ------
    ConfigError, MissingDependencyError, ResultsError
        See `semlink.plot_files.require_plottable`.
    """
    require_plottable(path)
    from matplotlib.figure import Figure

    rates = sorted({cell.num_symbols for cell in report.cells})
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(1.0 + width * max(len(rates), 2), height + 0.6), layout="constrained")
    panels = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
    for panel, num_symbols in zip(panels, rates, strict=True):
        for codec in dict.fromkeys(cell.codec for cell in report.cells):
            curve = _curve(report.cells, codec, num_symbols)
            values = [cell.recall if cell.accuracy is None else cell.accuracy for cell in curve]
            spread = [cell.accuracy_half_width or 0.0 for cell in curve]
            panel.errorbar(
                [cell.snr_db for cell in curve], values, yerr=spread, fmt="o-", markersize=3, capsize=2, label=codec
            )
        panel.set_title(f"{num_symbols} symbols ({parse_rate(str(num_symbols)).name})")
        panel.set_xlabel("SNR Es/N0 [dB]")
        panel.set_ylim(0, 1.03)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("nearest entry found" if report.noiseless_accuracy is None else "accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(f"forecast for a knowledge base of {report.num_entries:,}, AWGN")
    save_figure(figure, path)


def _curve(cells: Sequence[ForecastCell], codec: str, num_symbols: int) -> list[ForecastCell]:
    found = (cell for cell in cells if (cell.codec, cell.num_symbols) == (codec, num_symbols))
    return sorted(found, key=lambda cell: cell.snr_db)


def _snrs(report: ForecastReport) -> list[float]:
    return sorted({cell.snr_db for cell in report.cells})


def _text(cell: ForecastCell) -> str:
    if cell.accuracy is None:
        return f"{cell.recall:.3f}"
    return f"{cell.accuracy:.3f} ±{cell.accuracy_half_width:.3f}"
