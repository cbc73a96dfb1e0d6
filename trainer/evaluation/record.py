"""The measured values of one cell of a grid."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = ["Cell", "Record"]

Cell: TypeAlias = tuple[str, int, str, float, int]
"""Codec, symbols, channel, SNR [dB], seed."""


class Record(msgspec.Struct, frozen=True):
    """One cell at one seed, as the `records` list of a report holds it."""

    codec: str
    num_symbols: int
    snr_db: float
    channel: str
    seed: int
    semantic_accuracy: float
    recall_at_1: float
    recall_at_10: float
    mean_cosine: float
    match_cosine: float
    trained_on: str
    csi: str
    num_pilots: int
    calibration_error: float | None = None

    @property
    def cell(self) -> Cell:
        """Position in the grid."""
        return (self.codec, self.num_symbols, self.channel, self.snr_db, self.seed)
