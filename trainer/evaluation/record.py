"""The measured scores of one cell of a grid."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = ["Cell", "CellScores", "Record"]

Cell: TypeAlias = tuple[str, int, str, float, int]
"""Codec, symbols, channel, SNR [dB], seed."""


class CellScores(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of a codec at one rate, channel and SNR; see docs/definitions.md, "Measures".

    Attributes
    ----------
    csi : channel state information at the receiver; "genie" is an upper bound that no receiver reaches
    snr_db : Es/N0 [dB]
    calibration_error : None where the receiver gives no confidence, and in reports of versions that had none
    """

    codec: str
    num_symbols: int
    channel: str
    csi: str
    snr_db: float
    semantic_accuracy: float
    recall_at_1: float
    recall_at_10: float
    mean_cosine: float
    match_cosine: float
    calibration_error: float | None = None


class Record(CellScores, frozen=True, kw_only=True):
    """One cell at one seed, as the `records` list of a report holds it."""

    seed: int
    trained_on: str
    num_pilots: int

    @property
    def cell(self) -> Cell:
        """Position in the grid."""
        return (self.codec, self.num_symbols, self.channel, self.snr_db, self.seed)
