"""The paper's claims beside our measurements: the table of docs/paper.md, written from the committed reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from benchmarks.evaluations import EVALUATIONS
from benchmarks.report.page import Table
from benchmarks.report.render import markdown_table
from semlink.channel import ChannelModel
from semlink.errors import ConfigError
from semlink.report import read_report
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.report import EvaluationReport

__all__ = ["PAGE", "REPORT", "claim_reports", "claims", "page_with_claims"]

PAGE = Path("docs", "paper.md")
REPORT = Path("benchmarks", "results", "paper.json")
_EVALUATIONS = ("cifar100-awgn", "cifar100-rayleigh", "cifar100-images")
"""Evaluations of the results page that measure some of the claims too."""
PUBLISHED = "kbsc-reference"
"""Codec of the paper's network on the paper's channel."""
HONEST = "kbsc"
"""Codec of the same network over a channel that a radio can have, which is also that of `bpg-ldpc`."""
RIVAL = "bpg-ldpc"

_DEFAULT_EPOCHS = EvaluationConfig().epochs
"""Reports that do not state their epochs had the default."""
_SECTION = re.compile(r"(<!-- claims: written by benchmarks\.paper -->\n).*?(<!-- end of claims -->)", re.DOTALL)
_TITLES = {ChannelModel.AWGN: "AWGN", ChannelModel.RAYLEIGH: "Rayleigh"}


def claim_reports(root: Path) -> dict[Path, EvaluationReport]:
    """Read the committed reports that measure the claims, by their paths in the checkout."""
    paths = [REPORT, *(evaluation.path for evaluation in EVALUATIONS if evaluation.name in _EVALUATIONS)]
    return {path: read_report(root / path, EvaluationReport) for path in paths}


def page_with_claims(text: str, reports: Mapping[Path, EvaluationReport]) -> str:
    """Replace the section of the claims in the text of docs/paper.md.

    Raises
    ------
    ConfigError
        If the text has no such section, or several.
    """
    section = claims(reports)
    page, num_sections = _SECTION.subn(lambda match: f"{match[1]}{section}{match[2]}", text)
    if num_sections != 1:
        raise ConfigError(f"{PAGE} must have one section between the comments of the claims, got {num_sections}")
    return page


def claims(reports: Mapping[Path, EvaluationReport]) -> str:
    """Write a table of claims, measurements and reports, and the conditions of each report."""
    rows = [
        *(
            (f"transmits over {title} at all rates", _shares(report, channel), path.stem)
            for channel, title in _TITLES.items()
            for path, report in reports.items()
            if _measures(report, channel, PUBLISHED)
        ),
        *(
            (f"exceeds BPG with LDPC over {title}", _lead(report, codec, channel), path.stem)
            for channel, title in _TITLES.items()
            for path, report in reports.items()
            for codec in (PUBLISHED, HONEST)
            if _measures(report, channel, codec, RIVAL)
        ),
        ("exceeds SwinJSCC", "not measured", "none"),
    ]
    headers = ("claim of the paper", "our measurement", "report")
    conditions = "\n".join(_conditions(path, report) for path, report in reports.items())
    return f"\n{markdown_table(Table.of(headers, rows, text_columns=headers))}\n\nThe reports:\n\n{conditions}\n\n"


def _measures(report: EvaluationReport, channel: str, *codecs: str) -> bool:
    return {(codec, channel) for codec in codecs} <= {(cell.codec, cell.channel) for cell in report.summary}


def _shares(report: EvaluationReport, channel: str) -> str:
    """Accuracy of the published codec at each rate, in percent of the noiseless accuracy."""
    shares = {
        num_symbols: fmean(_accuracies(report, PUBLISHED, channel, num_symbols)) / report.noiseless_accuracy
        for num_symbols in _rates(report)
    }
    texts = ", ".join(f"{100 * share:.0f} % at {num_symbols}" for num_symbols, share in shares.items())
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


def _conditions(path: Path, report: EvaluationReport) -> str:
    """What a report measured, as an item of a list."""
    num_seeds = report.summary[0].num_seeds
    seeds = "one seed, so that there is no interval" if num_seeds == 1 else f"{num_seeds} seeds"
    epochs = report.settings.get("epochs", _DEFAULT_EPOCHS)
    num_snrs = len({cell.snr_db for cell in report.summary})
    return (
        f"- [{path.stem}](../{path.as_posix()}): encoder `{report.encoder}`, noiseless accuracy"
        f" {report.noiseless_accuracy:.3f}; {report.num_sent:,} images sent, a KB of {report.num_kb_entries:,} entries;"
        f" {seeds}; at most {epochs} epochs of training; {', '.join(map(str, _rates(report)))} symbols;"
        f" {num_snrs} SNRs. {report.device}, {report.made_at[:10]}."
    )


def _accuracies(report: EvaluationReport, codec: str, channel: str, num_symbols: int) -> list[float]:
    """Semantic accuracies of a codec in the order of the SNRs."""
    cells = [
        cell for cell in report.summary if (cell.codec, cell.channel, cell.num_symbols) == (codec, channel, num_symbols)
    ]
    return [cell.semantic_accuracy for cell in sorted(cells, key=lambda cell: cell.snr_db)]


def _rates(report: EvaluationReport) -> list[int]:
    return sorted({cell.num_symbols for cell in report.summary})
