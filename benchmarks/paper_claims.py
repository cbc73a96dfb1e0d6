"""The paper's claims beside our measurements: the table of docs/paper.md, written from the committed report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.report.page import Table
from benchmarks.report.render import markdown_table
from semlink.channel import PAPER_CHANNELS
from semlink.errors import ConfigError
from semlink.report import read_report
from trainer.evaluation.report import CellSummary, EvaluationReport

__all__ = ["PAGE", "REPORT", "claims", "page_with_claims"]

PAGE = Path("docs", "paper.md")
REPORT = Path("benchmarks", "results", "paper.json")
PUBLISHED = "kbsc-reference"
"""Codec of the paper's network on the paper's channel."""
HONEST = "kbsc"
"""Codec of the same network over a channel that a radio can have, which is also that of `bpg-ldpc`."""
RIVAL = "bpg-ldpc"

_SECTION = re.compile(r"(<!-- claims: written by benchmarks\.paper -->\n).*?(<!-- end of claims -->)", re.DOTALL)
_SOURCE = "abstract and conclusion"
_TITLES = {"awgn": "AWGN", "rayleigh": "Rayleigh"}


def page_with_claims(root: Path) -> str:
    """Text of docs/paper.md with the claims of the committed report.

    Parameters
    ----------
    root : top folder of the checkout

    Raises
    ------
    ConfigError
        If the page has no section for them.
    """
    text = (root / PAGE).read_text(encoding="utf-8")
    section = claims(read_report(root / REPORT, EvaluationReport))
    page, num_sections = _SECTION.subn(lambda match: f"{match[1]}{section}{match[2]}", text)
    if num_sections != 1:
        raise ConfigError(f"{PAGE} must have one section between the comments of the claims, got {num_sections}")
    return page


def claims(report: EvaluationReport) -> str:
    """Write a table of claim, measurement and source, and the conditions of the measurement."""
    rows = [
        *((f"transmits over {_TITLES[channel]} at all rates", _shares(report, channel)) for channel in PAPER_CHANNELS),
        *(
            (f"exceeds BPG with LDPC over {_TITLES[channel]}", _lead(report, codec, channel))
            for channel in PAPER_CHANNELS
            for codec in (PUBLISHED, HONEST)
        ),
        ("exceeds SwinJSCC", "not measured"),
    ]
    headers = ("claim of the paper", "our measurement", "source of the claim")
    table = Table.of(headers, [(*row, _SOURCE) for row in rows], text_columns=headers)
    return f"\n{markdown_table(table)}\n\n{_conditions(report)}\n\n"


def _shares(report: EvaluationReport, channel: str) -> str:
    """Accuracy of the published codec at each rate, in percent of the noiseless accuracy."""
    shares = {
        num_symbols: fmean(_accuracies(report, PUBLISHED, channel, num_symbols)) / report.noiseless_accuracy
        for num_symbols in _rates(report)
    }
    texts = ", ".join(f"{share:.0%} at {num_symbols}" for num_symbols, share in shares.items())
    return f"{PUBLISHED}: mean over SNRs in percent of the noiseless accuracy: {texts} symbols"


def _lead(report: EvaluationReport, codec: str, channel: str) -> str:
    """In how many conditions a codec is more accurate than `bpg-ldpc`, and both mean accuracies at each rate."""
    rates = _rates(report)
    pairs = {
        num_symbols: list(
            zip(
                _accuracies(report, codec, channel, num_symbols),
                _accuracies(report, RIVAL, channel, num_symbols),
                strict=True,
            )
        )
        for num_symbols in rates
    }
    every = [pair for found in pairs.values() for pair in found]
    num_ahead = sum(ours > rival for ours, rival in every)
    means = ", ".join(
        f"{fmean(ours for ours, _ in found):.3f} against {fmean(rival for _, rival in found):.3f} at {num_symbols}"
        for num_symbols, found in pairs.items()
    )
    return (
        f"{codec} exceeds {RIVAL} in {num_ahead} of {len(every)} pairs of rate and SNR; mean over SNRs {means} symbols"
    )


def _conditions(report: EvaluationReport) -> str:
    """What was measured, in one paragraph."""
    settings = report.settings
    num_seeds = report.summary[0].num_seeds
    seeds = "one seed, so that there is no interval" if num_seeds == 1 else f"{num_seeds} seeds"
    return (
        f"Conditions of our measurement: image encoder `{report.encoder}`, noiseless accuracy"
        f" {report.noiseless_accuracy:.3f}; {report.num_sent:,} images sent, a KB of {report.num_kb_entries:,} entries;"
        f" {seeds}; at most {settings['epochs']} epochs of training; {', '.join(map(str, _rates(report)))} symbols;"
        f" {len(_snr_db(report.summary))} SNRs. [{REPORT.name}](../{REPORT.as_posix()}), {report.device},"
        f" {report.made_at[:10]}. Command: `{report.command}`."
    )


def _accuracies(report: EvaluationReport, codec: str, channel: str, num_symbols: int) -> list[float]:
    """Semantic accuracies of a codec in the order of the SNRs."""
    cells = [
        cell for cell in report.summary if (cell.codec, cell.channel, cell.num_symbols) == (codec, channel, num_symbols)
    ]
    return [cell.semantic_accuracy for cell in sorted(cells, key=lambda cell: cell.snr_db)]


def _rates(report: EvaluationReport) -> list[int]:
    return sorted({cell.num_symbols for cell in report.summary})


def _snr_db(cells: Sequence[CellSummary]) -> list[float]:
    return sorted({cell.snr_db for cell in cells})
