"""A transmitter gets the codebook of a receiver: whole, lost in part, altered, foreign, replaced, from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_tx.candidates import AdaptedCandidate
from edge_tx.codebook_fetcher import MAX_MISMATCHES, CodebookFetcher, FetchedCandidate
from edge_tx.model import GraphModel, load_transmitter_model
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.codebook_chunks import split
from semlink.errors import EngineError
from semlink.feedback import ReportPublisher
from semlink.rates import parse_rate
from semlink.receiver_report import ReceiverReport
from tests.support.codebooks import serve, small_codebook
from tests.support.deadlines import DEADLINE_S, wait_until
from tests.support.sockets import free_port

RATE = parse_rate("64")
_LOOKS = 50
"""Far more looks at subscriptions than it takes until a fetch subscribes."""

Load = Callable[[KnowledgeBaseCodebook], GraphModel]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "codebooks"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks of a small codebook."""
    monkeypatch.setattr("semlink.codebook_chunks.CHUNK_BYTES", 1000)


@pytest.fixture
def codebook(model_set: ModelSet) -> KnowledgeBaseCodebook:
    return small_codebook(model_set.encoder_fingerprint)


@pytest.fixture
def newer(model_set: ModelSet) -> KnowledgeBaseCodebook:
    return small_codebook(model_set.encoder_fingerprint, seed=1)


@pytest.fixture
def load(model_set: ModelSet) -> Load:
    return lambda codebook: load_transmitter_model(model_set, RATE, codec=codebook)


@pytest.fixture
def publisher() -> Iterator[ReportPublisher]:
    with ReportPublisher("tcp://127.0.0.1:*") as bound:
        yield bound


@pytest.fixture
def fetcher(publisher: ReportPublisher, model_set: ModelSet, load: Load) -> Iterator[CodebookFetcher]:
    with CodebookFetcher(publisher.endpoint, model_set.encoder_fingerprint, load) as started:
        yield started


def sha256_of(loaded: AdaptedCandidate | None) -> str | None:
    return None if loaded is None else loaded.sha256


def report_of(*codebooks: KnowledgeBaseCodebook) -> ReceiverReport:
    return ReceiverReport(knowledge_base="0" * 64, codebooks=tuple(codebook.sha256 for codebook in codebooks))


class TestFetch:
    def test_a_codebook_is_fetched_loaded_and_kept(
        self, publisher: ReportPublisher, fetcher: CodebookFetcher, codebook: KnowledgeBaseCodebook, cache: Path
    ) -> None:
        chunks = split(codebook.content)
        assert len(chunks) > 3
        assert not publisher.is_codebook_wanted, "nothing is asked for before a report lists it"
        fetcher.want(codebook.sha256)
        serve(publisher, chunks, fetcher.loaded)
        loaded = fetcher.loaded()
        assert loaded is not None
        assert (loaded.sha256, loaded.model.codec) == (codebook.sha256, "adapted")
        assert loaded.model.fingerprints[RATE] == codebook.fingerprint(RATE)
        wait_until(lambda: not publisher.is_codebook_wanted)
        assert [path.name for path in cache.iterdir()] == [f"{codebook.sha256}.npz"]
        assert fetcher.rejected == {}

    def test_a_restart_fetches_nothing(
        self,
        publisher: ReportPublisher,
        fetcher: CodebookFetcher,
        codebook: KnowledgeBaseCodebook,
        model_set: ModelSet,
        load: Load,
    ) -> None:
        fetcher.want(codebook.sha256)
        serve(publisher, split(codebook.content), fetcher.loaded)
        nobody = f"tcp://127.0.0.1:{free_port()}"
        with CodebookFetcher(nobody, model_set.encoder_fingerprint, load) as restarted:
            restarted.want(codebook.sha256)
            wait_until(restarted.loaded)
            assert sha256_of(restarted.loaded()) == codebook.sha256

    def test_a_damaged_file_of_the_cache_is_fetched_again(
        self, publisher: ReportPublisher, fetcher: CodebookFetcher, codebook: KnowledgeBaseCodebook, cache: Path
    ) -> None:
        cache.mkdir(parents=True)
        path = cache / f"{codebook.sha256}.npz"
        path.write_bytes(codebook.content[:-1])
        fetcher.want(codebook.sha256)
        serve(publisher, split(codebook.content), fetcher.loaded)
        assert path.read_bytes() == codebook.content

    def test_goes_on_where_a_dead_receiver_ended(
        self, codebook: KnowledgeBaseCodebook, model_set: ModelSet, load: Load
    ) -> None:
        """Half of the chunks come before the receiver dies, only the other half after its restart."""
        chunks = split(codebook.content)
        damaged = replace(chunks[0], sha256="0" * 64)  # counted by the fetcher, so that a test knows what it has read
        with ReportPublisher("tcp://127.0.0.1:*") as before:
            endpoint = before.endpoint
            fetcher = CodebookFetcher(endpoint, model_set.encoder_fingerprint, load)
            fetcher.want(codebook.sha256)
            serve(before, [*chunks[:2], damaged], fetcher.rejected.total)
        with fetcher, ReportPublisher(endpoint) as after:
            serve(after, chunks[2:], fetcher.loaded)
            assert sha256_of(fetcher.loaded()) == codebook.sha256

    def test_ends_without_a_receiver(self, model_set: ModelSet, load: Load) -> None:
        """Closing does not wait for chunks that nobody sends."""
        fetcher = CodebookFetcher(f"tcp://127.0.0.1:{free_port()}", model_set.encoder_fingerprint, load)
        fetcher.want("0" * 64)
        fetcher.close(DEADLINE_S)
        assert fetcher.loaded() is None


class TestRefusal:
    def test_altered_and_foreign_chunks_are_counted_and_the_rest_goes_on(
        self, publisher: ReportPublisher, fetcher: CodebookFetcher, codebook: KnowledgeBaseCodebook
    ) -> None:
        chunks = split(codebook.content)
        foreign = replace(chunks[0], sha256="0" * 64)
        other_size = replace(chunks[-1], total_bytes=chunks[-1].total_bytes + 1000, offset=0, data=bytes(1000))
        oversized = replace(chunks[0], total_bytes=2**32 - 1)
        fetcher.want(codebook.sha256)
        serve(publisher, [chunks[0], foreign, oversized, other_size], lambda: len(fetcher.rejected) == 3)
        serve(publisher, chunks, fetcher.loaded)
        assert set(fetcher.rejected) == {
            "chunk of another codebook",
            "implausible codebook",
            "size of the codebook has changed",
        }

    def test_a_codebook_that_is_altered_again_and_again_is_given_up(
        self,
        publisher: ReportPublisher,
        fetcher: CodebookFetcher,
        codebook: KnowledgeBaseCodebook,
        newer: KnowledgeBaseCodebook,
        caplog: pytest.LogCaptureFixture,
        cache: Path,
    ) -> None:
        """Its bytes are never read as a codebook; another one that is listed later is fetched."""
        chunks = split(codebook.content)
        altered = [replace(chunks[0], data=bytes(len(chunks[0].data))), *chunks[1:]]
        fetcher.want(codebook.sha256)
        serve(publisher, altered, lambda: "is not used" in caplog.text)
        assert fetcher.rejected["codebook does not match its SHA-N"] == MAX_MISMATCHES
        wait_until(lambda: not publisher.is_codebook_wanted)
        assert not list(cache.glob("*"))
        assert fetcher.loaded() is None
        fetcher.want(newer.sha256)
        serve(publisher, split(newer.content), fetcher.loaded)
        assert caplog.text.count("is not used") == 1

    @pytest.mark.parametrize("kind", ["no codebook", "another encoder"])
    def test_what_cannot_be_used_is_refused_once(
        self,
        publisher: ReportPublisher,
        fetcher: CodebookFetcher,
        kind: str,
        caplog: pytest.LogCaptureFixture,
        cache: Path,
    ) -> None:
        """A report that lists it again does not have it fetched again."""
        content = small_codebook("cd" * 32).content if kind == "another encoder" else bytes(3000)
        chunks = split(content)
        fetcher.want(chunks[0].sha256)
        serve(publisher, chunks, lambda: "is not used" in caplog.text)
        wait_until(lambda: not publisher.is_codebook_wanted)
        fetcher.want(None)
        fetcher.want(chunks[0].sha256)
        looks = iter(range(_LOOKS))
        wait_until(lambda: publisher.is_codebook_wanted or next(looks, None) is None)
        assert not publisher.is_codebook_wanted
        fetcher.close(DEADLINE_S)
        assert caplog.text.count("is not used") == 1
        assert fetcher.loaded() is None
        assert not list(cache.glob("*"))
        expected = "does not hold a knowledge base's codebook" if kind == "no codebook" else "a codebook for the image"
        assert expected in caplog.text

    @pytest.mark.parametrize("error", [EngineError("no memory"), ZeroDivisionError("a bug")])
    def test_a_model_that_cannot_be_loaded_ends_nothing(
        self,
        publisher: ReportPublisher,
        model_set: ModelSet,
        codebook: KnowledgeBaseCodebook,
        newer: KnowledgeBaseCodebook,
        load: Load,
        error: Exception,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail_for_one(of: KnowledgeBaseCodebook) -> GraphModel:
            if of.sha256 == codebook.sha256:
                raise error
            return load(of)

        with CodebookFetcher(publisher.endpoint, model_set.encoder_fingerprint, fail_for_one) as fetcher:
            fetcher.want(codebook.sha256)
            serve(publisher, split(codebook.content), lambda: "is not used" in caplog.text)
            fetcher.want(newer.sha256)
            serve(publisher, split(newer.content), fetcher.loaded)
            assert sha256_of(fetcher.loaded()) == newer.sha256
        assert str(error) in caplog.text


class TestCandidate:
    def test_follows_the_knowledge_base(
        self,
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
        self,
        publisher: ReportPublisher,
        fetcher: CodebookFetcher,
        codebook: KnowledgeBaseCodebook,
        newer: KnowledgeBaseCodebook,
        load: Load,
    ) -> None:
        of_file = AdaptedCandidate(load(codebook), codebook.sha256)
        candidate = FetchedCandidate(fetcher, of_file)
        assert candidate.fit(report_of(codebook)).is_decoded
        assert candidate.model is of_file.model
        assert not publisher.is_codebook_wanted
        assert candidate.fit(report_of(newer, codebook)).is_decoded

        def has_switched() -> bool:
            return candidate.fit(report_of(newer, codebook)).is_decoded and candidate.model is not of_file.model

        serve(publisher, split(newer.content), has_switched)

    def test_a_codebook_that_arrives_too_late_is_not_used(
        self,
        publisher: ReportPublisher,
        fetcher: CodebookFetcher,
        codebook: KnowledgeBaseCodebook,
        newer: KnowledgeBaseCodebook,
        load: Load,
    ) -> None:
        """The knowledge base is the one before again, or another one."""
        of_file = AdaptedCandidate(load(newer), newer.sha256)
        candidate = FetchedCandidate(fetcher, of_file)
        candidate.fit(report_of(codebook))
        serve(publisher, split(codebook.content), fetcher.loaded)
        assert candidate.fit(report_of(newer, codebook)).is_decoded
        assert candidate.model is of_file.model
        assert FetchedCandidate(fetcher).fit(report_of(newer)) == (False, None)
