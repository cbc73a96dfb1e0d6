"""Gets the codebook that a receiver lists first, from the cache or in chunks, and loads its model.

    reports --sha256--> cache | chunks --content--> codebook --load--> model --> FetchedCandidate

A thread does all of it, because chunks take seconds to arrive and a model takes as long to load; meanwhile images are
sent with another codec.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_tx.candidates import AdaptedCandidate, Fit
from edge_tx.codebook_cache import CodebookCache
from edge_tx.model import GraphModel
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.closing import Closing
from semlink.codebook_chunks import CodebookAssembler, CodebookChunk
from semlink.errors import DecodeError, ModelSetError, SemlinkError
from semlink.feedback import ChunkSubscriber
from semlink.receiver_report import ReceiverReport
from semlink.rejections import Rejections

__all__ = ["MAX_MISMATCHES", "CodebookFetcher", "FetchedCandidate"]

_log = logging.getLogger(__name__)

MAX_MISMATCHES = 3
"""Number of times that the bytes of a codebook may be complete and altered, before a pause."""

_POLL_S = 0.1
"""Longest wait for a chunk before the thread checks what is wanted."""

_FIRST_RETRY_S = 1.0
"""Pause after a first failure [s]; it doubles with each further one."""

_LONGEST_RETRY_S = 300.0
"""Longest pause [s]: building an engine in vain takes minutes of a small machine."""

_NUM_FAILURES = 16
"""Number of codebooks whose failures are remembered."""


@dataclass
class _Failures:
    """What went wrong with one codebook.

    Attributes
    ----------
    kinds : types of the errors, each of which was logged once
    pause_s : last pause [s]
    retry_s : when it is tried again, by `time.monotonic`; infinite for a codebook that cannot suit this transmitter [s]
    """

    kinds: set[type[Exception]] = field(default_factory=set)
    pause_s: float = 0.0
    retry_s: float = -math.inf


class CodebookFetcher(Closing):
    """Fetches and loads one codebook at a time.

    A codebook that this model set cannot use is refused for good, since its SHA-256 is its content. After any other
    failure it is tried again, after a pause that grows.

    Parameters
    ----------
    endpoint : the receiver's reports, where its chunks are too
    encoder_fingerprint : of the transmitter's image encoder, in hex
    load : loads the model of a codebook; called in the thread
    first_retry_s : pause after a first failure [s]

    Attributes
    ----------
    rejected : number of dropped messages, by reason
    """

    def __init__(
        self,
        endpoint: str,
        encoder_fingerprint: str,
        load: Callable[[KnowledgeBaseCodebook], GraphModel],
        *,
        first_retry_s: float = _FIRST_RETRY_S,
    ) -> None:
        self.rejected = Rejections()
        self._endpoint, self._encoder_fingerprint, self._load = endpoint, encoder_fingerprint, load
        self._first_retry_s = first_retry_s
        self._cache = CodebookCache()
        self._assembler: CodebookAssembler | None = None
        self._failures: dict[str, _Failures] = {}
        self._changed = threading.Condition()
        self._wanted: str | None = None
        self._loaded: AdaptedCandidate | None = None
        self._is_closed = False
        # A daemon, so that a model that takes minutes to build does not keep an interrupted process alive.
        self._thread = threading.Thread(target=self._run, name="codebook", daemon=True)
        self._thread.start()

    def want(self, sha256: str | None) -> None:
        """Set the codebook to fetch and load; None for none. Returns at once."""
        with self._changed:
            if sha256 != self._wanted:
                self._wanted = sha256
                self._changed.notify()

    def loaded(self) -> AdaptedCandidate | None:
        """The codec with the codebook that was loaded last."""
        with self._changed:
            return self._loaded

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop fetching; waits for a model that is being loaded, at most for `timeout_s`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (sha256 := self._next()) is not None:
            try:
                loaded = self._get(sha256)
            except Exception as error:  # noqa: BLE001  the transmitter goes on with another codec
                self._note_failure(sha256, error)
            else:
                with self._changed:
                    self._loaded = loaded or self._loaded

    def _next(self) -> str | None:
        """Wait until a codebook is wanted, not loaded, and not to be left alone after a failure; None when closed."""
        with self._changed:
            while not self._is_closed:
                start_s = self._start_s(self._wanted)
                wait_s = start_s - time.monotonic()
                if wait_s <= 0:
                    return self._wanted
                self._changed.wait(wait_s if math.isfinite(wait_s) else None)
            return None

    def _start_s(self, sha256: str | None) -> float:
        """From when on a codebook may be fetched and loaded, by `time.monotonic`; infinite if not at all [s]."""
        if sha256 is None or (self._loaded is not None and self._loaded.sha256 == sha256):
            return math.inf
        return self._failures[sha256].retry_s if sha256 in self._failures else -math.inf

    def _note_failure(self, sha256: str, error: Exception) -> None:
        """Plan the next try, and log the error if it is the first of its kind for this codebook."""
        failures = self._failures.pop(sha256, None) or _Failures()
        self._failures[sha256] = failures  # as the last one
        if len(self._failures) > _NUM_FAILURES:
            del self._failures[next(iter(self._failures))]
        if isinstance(error, ModelSetError):
            failures.retry_s = math.inf
            _log.warning("the receiver's codebook %s is not used: %s", sha256[:12], error)
            return
        failures.pause_s = min(2 * failures.pause_s or self._first_retry_s, _LONGEST_RETRY_S)
        failures.retry_s = time.monotonic() + failures.pause_s
        if type(error) in failures.kinds:
            return
        failures.kinds.add(type(error))
        is_bug = not isinstance(error, SemlinkError | OSError)
        _log.warning(
            "the receiver's codebook %s is not used yet, and tried again in %g s and later: %s",
            sha256[:12],
            failures.pause_s,
            error,
            exc_info=error if is_bug else None,
        )

    def _is_wanted(self, sha256: str) -> bool:
        with self._changed:
            return not self._is_closed and self._wanted == sha256

    def _get(self, sha256: str) -> AdaptedCandidate | None:
        """The codec with a codebook; None if it was no longer wanted before its bytes were complete."""
        kept = self._cache.find(sha256)
        content = kept or self._fetch(sha256)
        if content is None:
            return None
        codebook = KnowledgeBaseCodebook.read(content, source="its bytes")
        codebook.require_encoder(self._encoder_fingerprint, source="its bytes")
        if kept is None:
            self._cache.keep(sha256, content)
        loaded = AdaptedCandidate.of(self._load(codebook), codebook)
        _log.info("loaded codebook %s%s", sha256[:12], "" if kept is None else ", from the cache")
        return loaded

    def _fetch(self, sha256: str) -> bytes | None:
        """Assemble a codebook's bytes; goes on where an interrupted fetch of the same one ended."""
        if self._assembler is None or self._assembler.sha256 != sha256:
            self._assembler = CodebookAssembler(sha256)
        _log.info("fetching codebook %s from the receiver", sha256[:12])
        with ChunkSubscriber(self._endpoint) as chunks:
            while self._is_wanted(sha256):
                data = chunks.receive(_POLL_S)
                if data is None:
                    continue
                try:
                    content = self._assembler.add(CodebookChunk.unpack(data))
                except DecodeError as error:
                    self.rejected.count(error)
                    if self._assembler.num_mismatches >= MAX_MISMATCHES:
                        self._assembler = None
                        raise DecodeError(
                            f"its bytes did not match its SHA-256 {MAX_MISMATCHES} times; is something else on the"
                            " address of the reports?"
                        ) from None
                else:
                    if content is not None:
                        return content
        return None


class FetchedCandidate:
    """`adapted` with the codebook that the receiver lists first, once it is loaded; until then with an earlier one.

    Parameters
    ----------
    fetcher : gets codebooks
    initial : codec with a codebook of the user's; None if there is none
    """

    def __init__(self, fetcher: CodebookFetcher, initial: AdaptedCandidate | None = None) -> None:
        self._fetcher, self._initial, self._current = fetcher, initial, initial

    @property
    def model(self) -> GraphModel:
        """The codec; only while `fit` says that it is decoded."""
        assert self._current is not None  # noqa: S101  a fit has found it
        return self._current.model

    def fit(self, report: ReceiverReport) -> Fit:
        """See `Candidate`; has the codebook that the report lists first fetched, if it is another one."""
        decoded = [
            candidate
            for candidate in (self._current, self._fetcher.loaded())
            if candidate is not None and candidate.sha256 in report.codebooks
        ]
        self._current = min(decoded, key=lambda each: report.codebooks.index(each.sha256), default=self._current)
        current = self._current.sha256 if self._current else None
        newest = next(iter(report.codebooks), None)
        self._fetcher.want(newest if newest != current else None)
        if self._current is not None and newest is None:
            return self._current.fit(report)  # nothing can be fetched, so the user has to act
        return Fit(is_decoded=current in report.codebooks, advice=self._replacement(report))

    def _replacement(self, report: ReceiverReport) -> str | None:
        """Why another codebook than the user's is fetched, where that is of another knowledge base."""
        initial = self._initial
        if initial is None or initial.sha256 in report.codebooks or initial.knowledge_base == report.knowledge_base:
            return None
        return (
            f"the codebook of --codebook is of the knowledge base {initial.knowledge_base[:12]}, and the receiver has"
            f" {report.knowledge_base[:12]}, whose codebook is fetched in its place"
        )
