"""A chunk of the newest codebook goes with each report, and only while a transmitter wants it."""

from __future__ import annotations

import time

import pytest

from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.pipeline import Receiver
from edge_rx.reporter import INTERVAL_S, Reporter
from engines.models.model_set import ModelSet
from semlink.codebook_chunks import CodebookChunk, split
from semlink.receiver_report import ReceiverReport


class Publisher:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.is_codebook_wanted = False
        self.reports: list[ReceiverReport] = []
        self.chunks: list[CodebookChunk] = []

    def publish(self, report: ReceiverReport) -> None:
        self.reports.append(report)

    def publish_chunk(self, chunk: CodebookChunk) -> None:
        self.chunks.append(chunk)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks of a small codebook."""
    monkeypatch.setattr("semlink.codebook_chunks.CHUNK_BYTES", 5000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved by a test."""
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    return now_s


def test_rounds_of_chunks_while_they_are_wanted(
    model_set: ModelSet, knowledge_base: KnowledgeBase, clock: list[float]
) -> None:
    publisher, receiver = Publisher(), Receiver(Decoders.of(model_set, knowledge_base), knowledge_base)
    reporter, expected = Reporter(publisher), split(knowledge_base.newest_codebook().content)

    def report(num_intervals: int) -> None:
        for _ in range(num_intervals):
            reporter.report(receiver)
            reporter.report(receiver)  # too early
            clock[0] += INTERVAL_S

    assert len(expected) > 1
    report(2)
    assert (len(publisher.reports), publisher.chunks) == (2, [])
    publisher.is_codebook_wanted = True
    report(len(expected) + 1)
    assert publisher.chunks == [*expected, expected[0]]
    publisher.is_codebook_wanted = False
    report(1)
    assert len(publisher.chunks) == len(expected) + 1
    publisher.is_codebook_wanted = True
    report(1)
    assert publisher.chunks[-1] == expected[1], "it goes on where it ended"
    assert len(publisher.reports) == len(expected) + 5
    assert {report.codebooks[0] for report in publisher.reports} == {chunk.sha256 for chunk in expected}


def test_a_knowledge_base_without_a_codebook(model_set: ModelSet, knowledge_base: KnowledgeBase) -> None:
    decoders = Decoders.of(model_set, knowledge_base)
    decoders.codebooks = ()
    publisher = Publisher()
    publisher.is_codebook_wanted = True
    Reporter(publisher).report(Receiver(decoders, knowledge_base))
    assert publisher.chunks == []
    assert publisher.reports[0].codebooks == ()
