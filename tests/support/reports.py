"""Made-up records and reports of an evaluation."""

from __future__ import annotations

from trainer.evaluation.record import Record
from trainer.evaluation.report import EvaluationReport


def record(seed: int, accuracy: float, *, codec: str = "kbsc", snr_db: float = 0.0) -> Record:
    """One cell at 64 symbols over AWGN."""
    return Record(codec, 64, snr_db, "awgn", seed, accuracy, 0.1, 0.2, 0.5, 0.6, "x", "none", 0)


def report_of(*records: Record, encoder: str = "e") -> EvaluationReport:
    """A report of these records, of a knowledge base of 10 entries in 5 categories."""
    return EvaluationReport.of(
        list(records),
        command="semlink evaluate",
        encoder=encoder,
        encoder_fingerprint="f",
        dataset="d",
        num_sent=10,
        num_kb_entries=10,
        weights="trained",
        noiseless_accuracy=0.6,
        num_categories=5,
    )
