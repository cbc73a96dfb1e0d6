"""`adapted` follows the codebook that the receiver lists first."""

from __future__ import annotations

import pytest

from edge_tx.candidates import AdaptedCandidate
from edge_tx.codebook_fetcher import CodebookFetcher, FetchedCandidate
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.codebook_chunks import split
from semlink.feedback import ReportPublisher
from semlink.receiver_report import ReceiverReport
from tests.support.codebooks import KNOWLEDGE_BASE, RATE, Load, serve
from tests.support.deadlines import wait_until

OTHER_KNOWLEDGE_BASE = "9" * 64


@pytest.fixture
def of_file(codebook: KnowledgeBaseCodebook, load: Load) -> AdaptedCandidate:
    """Has `codebook` from a file of the user's."""
    return AdaptedCandidate.of(load(codebook), codebook)


@pytest.fixture
def candidate(fetcher: CodebookFetcher, of_file: AdaptedCandidate) -> FetchedCandidate:
    """Starts with the codebook of the file."""
    return FetchedCandidate(fetcher, of_file)


def report_of(*codebooks: KnowledgeBaseCodebook) -> ReceiverReport:
    return ReceiverReport(
        knowledge_base=OTHER_KNOWLEDGE_BASE, codebooks=tuple(codebook.sha256 for codebook in codebooks)
    )


def test_follows_the_knowledge_base(
    publisher: ReportPublisher,
    fetcher: CodebookFetcher,
    codebook: KnowledgeBaseCodebook,
    newer: KnowledgeBaseCodebook,
) -> None:
    """The older codebook is sent with until the newer one is here, and no longer than the receiver lists it."""
    candidate = FetchedCandidate(fetcher)

    def sent_with(*listed: KnowledgeBaseCodebook) -> str | None:
        fit = candidate.fit(report_of(*listed))
        assert (fit.advice is None) == bool(listed)
        fingerprints = {of.fingerprint(RATE): of.sha256 for of in (codebook, newer)}
        return fingerprints[candidate.model.fingerprints[RATE]] if fit.is_decoded else None

    assert candidate.fit(report_of()) == (False, None), "a receiver without codebooks needs no advice"
    assert sent_with(codebook) is None
    serve(publisher, split(codebook.content), lambda: sent_with(codebook) == codebook.sha256)
    wait_until(lambda: not publisher.is_codebook_wanted)
    assert sent_with(newer, codebook) == codebook.sha256
    assert sent_with(newer) is None, "never with one that the receiver does not list"
    serve(publisher, split(newer.content), lambda: sent_with(newer, codebook) == newer.sha256)
    assert sent_with(newer) == newer.sha256
    assert sent_with() is None


def test_starts_with_the_codebook_of_a_file(
    publisher: ReportPublisher,
    codebook: KnowledgeBaseCodebook,
    newer: KnowledgeBaseCodebook,
    of_file: AdaptedCandidate,
    candidate: FetchedCandidate,
) -> None:
    assert candidate.fit(report_of(codebook)).is_decoded
    assert candidate.model is of_file.model
    assert not publisher.is_codebook_wanted
    assert candidate.fit(report_of(newer, codebook)).is_decoded

    def has_switched() -> bool:
        return candidate.fit(report_of(newer, codebook)).is_decoded and candidate.model is not of_file.model

    serve(publisher, split(newer.content), has_switched)


def test_a_codebook_of_a_file_of_another_knowledge_base_is_named(
    codebook: KnowledgeBaseCodebook, newer: KnowledgeBaseCodebook, candidate: FetchedCandidate
) -> None:
    """Where the receiver does not decode it, and another one is fetched in its place."""
    _, advice = candidate.fit(report_of(newer))
    assert advice is not None
    assert codebook.knowledge_base.tobytes().hex()[:12] in advice
    assert OTHER_KNOWLEDGE_BASE[:12] in advice
    assert candidate.fit(report_of(newer, codebook)) == (True, None), "the receiver decodes it"
    of_the_same = ReceiverReport(knowledge_base=KNOWLEDGE_BASE.hex(), codebooks=(newer.sha256,))
    assert candidate.fit(of_the_same) == (False, None), "a newer one of the same entries is no other knowledge base"


def test_a_codebook_that_arrives_too_late_is_not_used(
    publisher: ReportPublisher,
    fetcher: CodebookFetcher,
    codebook: KnowledgeBaseCodebook,
    newer: KnowledgeBaseCodebook,
    of_file: AdaptedCandidate,
    candidate: FetchedCandidate,
) -> None:
    """The knowledge base is the one before again, or another one."""
    candidate.fit(report_of(newer))
    serve(publisher, split(newer.content), fetcher.loaded)
    assert candidate.fit(report_of(codebook, newer)).is_decoded
    assert candidate.model is of_file.model
    assert FetchedCandidate(fetcher).fit(report_of(codebook)) == (False, None)
