"""Reports of a receiver to its transmitters, at a fixed interval, and its codebook to those that lack it."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator

from edge_rx.pipeline import Receiver
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.codebook_chunks import CodebookChunk, split
from semlink.feedback import ReportPublisher
from semlink.receiver_report import ReceiverReport

__all__ = ["Reporter"]

INTERVAL_S = 0.5
"""Time between two reports [s]: short for a transmitter that joins, long enough to leave the link back free.

One chunk of the codebook goes with each, at most 66 kB/s: 130 kB take 2 s, the largest codebook 16 s.
"""


class Reporter:
    """Publishes a report whenever one is due, with a chunk of the newest codebook while a transmitter fetches it."""

    def __init__(self, publisher: ReportPublisher) -> None:
        self._publisher = publisher
        self._next_s = -math.inf
        self._codebook: KnowledgeBaseCodebook | None = None
        self._chunks: Iterator[CodebookChunk] = iter(())

    def report(self, receiver: Receiver) -> None:
        """Publish, if `INTERVAL_S` have passed since the last time."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + INTERVAL_S
        snr_db = {f"{stream_id:016x}": round(snr_db, 1) for stream_id, snr_db in receiver.noise.snr_db().items()}
        self._publisher.publish(
            ReceiverReport(
                knowledge_base=receiver.knowledge_base_fingerprint, snr_db=snr_db, codebooks=receiver.codebooks
            )
        )
        self._publish_chunk(receiver.newest_codebook)

    def _publish_chunk(self, codebook: KnowledgeBaseCodebook | None) -> None:
        """Publish the next chunk, in turn without end: a lost one comes again in the next round."""
        # Asked first, because it also reads what peers subscribe to, which would pile up otherwise.
        is_wanted = self._publisher.is_codebook_wanted
        if codebook is None or not is_wanted:
            return
        if codebook is not self._codebook:
            self._codebook, self._chunks = codebook, itertools.cycle(split(codebook.content))
        self._publisher.publish_chunk(next(self._chunks))
