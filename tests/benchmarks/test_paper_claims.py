"""docs/paper.md: its claims are beside the figures of the committed report."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")

from benchmarks.paper_claims import PAGE, REPORT, claim_reports, claims, page_with_claims
from semlink.errors import ConfigError
from semlink.report import read_report
from tests.support.reports import record, report_of
from trainer.evaluation.report import EvaluationReport

ROOT = Path(__file__).parents[2]
ACCURACIES = {"kbsc-reference": (0.2, 0.4), "kbsc": (0.1, 0.3), "bpg-ldpc": (0.0, 0.35)}


def made_up() -> EvaluationReport:
    """Noiseless accuracy 0.6; both channels at 64 symbols, -7 and 10 dB."""
    records = [
        msgspec.structs.replace(record(0, accuracy, codec=codec, snr_db=snr_db), channel=channel)
        for (codec, values), channel in itertools.product(ACCURACIES.items(), ("awgn", "rayleigh"))
        for snr_db, accuracy in zip((-7.0, 10.0), values, strict=True)
    ]
    return msgspec.structs.replace(report_of(*records), settings={"epochs": 7})


def test_the_page_is_of_the_committed_reports() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert page == page_with_claims(page, claim_reports(ROOT))


def test_the_committed_report_measures_every_claim() -> None:
    report = read_report(ROOT / REPORT, EvaluationReport)
    assert {(cell.codec, cell.channel) for cell in report.summary} >= set(
        itertools.product(ACCURACIES, ("awgn", "rayleigh"))
    )
    assert report.commit is not None
    assert not report.commit.endswith("+dirty")


def test_each_claim_has_our_figure() -> None:
    text = claims({REPORT: made_up()})
    assert "50 % at 64 symbols" in text, "(0.2 + 0.4) / 2 / 0.6"
    assert "kbsc-reference exceeds bpg-ldpc in 2 of 2 pairs" in text
    assert "kbsc exceeds bpg-ldpc in 1 of 2 pairs" in text, "0.1 > 0.0, 0.3 < 0.35"
    assert "0.200 against 0.175 at 64 symbols" in text
    assert "at most 7 epochs" in text
    assert "one seed" in text


def test_a_report_without_the_cells_of_a_claim_has_no_row() -> None:
    elsewhere = msgspec.structs.replace(
        made_up(), summary=[cell for cell in made_up().summary if cell.codec != "bpg-ldpc" and cell.channel == "awgn"]
    )
    text = claims({REPORT: made_up(), Path("docs/other.json"): elsewhere})
    assert text.count("| other |") == 1
    assert text.count("| paper |") == 6


def test_a_page_without_the_section_is_refused() -> None:
    with pytest.raises(ConfigError, match="one section"):
        page_with_claims("# A page\n", {REPORT: made_up()})
