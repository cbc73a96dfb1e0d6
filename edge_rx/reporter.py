"""Reports of a receiver to its transmitters, at a fixed interval."""

from __future__ import annotations

import math
import time

from edge_rx.pipeline import Receiver
from semlink.feedback import ReportPublisher
from semlink.receiver_report import ReceiverReport

__all__ = ["Reporter"]

INTERVAL_S = 0.5
"""Time between two reports [s]: short for a transmitter that joins, long enough to leave the link back free."""


class Reporter:
    """Publishes a report whenever one is due."""

    def __init__(self, publisher: ReportPublisher) -> None:
        self._publisher = publisher
        self._next_s = -math.inf

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
