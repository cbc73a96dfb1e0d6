"""A transmitter gets the codebook of a receiver: whole, lost in part, altered, foreign, replaced, from the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_tx.candidates import AdaptedCandidate
from edge_tx.codebook_fetcher import MAX_MISMATCHES, CodebookFetcher
from edge_tx.model import GraphModel
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.codebook_chunks import split
from semlink.errors import EngineError
from semlink.feedback import ReportPublisher
from tests.support.codebooks import RATE, Load, serve, small_codebook
from tests.support.deadlines import DEADLINE_S, wait_until
from tests.support.sockets import free_port

_LOOKS = 50
"""Far more looks at subscriptions than it takes until a fetch subscribes."""


def sha256_of(loaded: AdaptedCandidate | None) -> str | None:
    return None if loaded is None else loaded.sha256


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

    def test_a_codebook_that_is_altered_again_and_again_is_left_alone_for_a_while(
        self,
        publisher: ReportPublisher,
        model_set: ModelSet,
        codebook: KnowledgeBaseCodebook,
        load: Load,
        caplog: pytest.LogCaptureFixture,
        cache: Path,
    ) -> None:
        """Its bytes are never read as a codebook; once they arrive as they were sent, it is used."""
        chunks = split(codebook.content)
        altered = [replace(chunks[0], data=bytes(len(chunks[0].data))), *chunks[1:]]
        with CodebookFetcher(
            publisher.endpoint, model_set.encoder_fingerprint, load, first_retry_s=DEADLINE_S
        ) as pausing:
            pausing.want(codebook.sha256)
            serve(publisher, altered, lambda: "is not used yet" in caplog.text)
            assert pausing.rejected["codebook does not match its SHA-N"] == MAX_MISMATCHES
            wait_until(lambda: not publisher.is_codebook_wanted)
            assert pausing.loaded() is None
        assert not list(cache.glob("*"))
        with CodebookFetcher(publisher.endpoint, model_set.encoder_fingerprint, load, first_retry_s=0.01) as fetcher:
            fetcher.want(codebook.sha256)
            serve(publisher, altered, lambda: fetcher.rejected.total() > MAX_MISMATCHES)
            serve(publisher, chunks, fetcher.loaded)
            assert sha256_of(fetcher.loaded()) == codebook.sha256

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

    @pytest.mark.parametrize("error", [EngineError("no memory"), OSError(28, "no space"), ZeroDivisionError("a bug")])
    def test_a_failure_that_may_pass_is_tried_again_and_logged_once(
        self,
        publisher: ReportPublisher,
        model_set: ModelSet,
        codebook: KnowledgeBaseCodebook,
        load: Load,
        error: Exception,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        failures = [error] * 3 + [ModuleNotFoundError("another kind")]

        def fail_at_first(of: KnowledgeBaseCodebook) -> GraphModel:
            if failures:
                raise failures.pop(0)
            return load(of)

        with CodebookFetcher(
            publisher.endpoint, model_set.encoder_fingerprint, fail_at_first, first_retry_s=0.01
        ) as fetcher:
            fetcher.want(codebook.sha256)
            serve(publisher, split(codebook.content), fetcher.loaded)
            assert sha256_of(fetcher.loaded()) == codebook.sha256
        assert caplog.text.count("is not used yet") == 2
        assert str(error) in caplog.text
        assert "another kind" in caplog.text

    def test_a_model_that_cannot_be_loaded_does_not_keep_another_from_being_loaded(
        self,
        publisher: ReportPublisher,
        model_set: ModelSet,
        codebook: KnowledgeBaseCodebook,
        newer: KnowledgeBaseCodebook,
        load: Load,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail_for_one(of: KnowledgeBaseCodebook) -> GraphModel:
            if of.sha256 == codebook.sha256:
                raise EngineError("no memory")
            return load(of)

        with CodebookFetcher(publisher.endpoint, model_set.encoder_fingerprint, fail_for_one) as fetcher:
            fetcher.want(codebook.sha256)
            serve(publisher, split(codebook.content), lambda: "is not used yet" in caplog.text)
            fetcher.want(newer.sha256)
            serve(publisher, split(newer.content), fetcher.loaded)
            assert sha256_of(fetcher.loaded()) == newer.sha256
