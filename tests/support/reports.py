"""Made-up records and reports of an evaluation."""

from __future__ import annotations

from trainer.evaluation.record import Record
from trainer.evaluation.report import EvaluationReport


def record(seed: int, accuracy: float, *, codec: str = "kbsc", snr_db: float = 0.0) -> Record:
    """One cell at 64 symbols over AWGN."""
    return Record(
        codec=codec,
        num_symbols=64,
        channel="awgn",
        csi="none",
        snr_db=snr_db,
        semantic_accuracy=accuracy,
        recall_at_1=0.1,
        recall_at_10=0.2,
        mean_cosine=0.5,
        match_cosine=0.6,
        seed=seed,
        trained_on="x",
        num_pilots=0,
    )


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
