"""A nested code as a transmitter sends it, of a model set (`nested`, `nested-cells`) or a knowledge base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engines.models.codebook import Codebook, PowerShare
from semlink.rates import Rate

__all__ = ["NestedCode"]


@dataclass(frozen=True, eq=False)
class NestedCode:
    """A code of which every rate sends a prefix, with the fingerprints of its frames.

    Attributes
    ----------
    name, high_snr_name : codec in logs and results, with the low-SNR and with the high-SNR power share
    codebook : parameters of the code
    fingerprints : fingerprint of frames at each rate
    high_snr_fingerprints : the same for the high-SNR code; empty if the codebook has none
    projection_path : projection head between image encoder and code; None for a code of features
    """

    name: str
    high_snr_name: str
    codebook: Codebook
    fingerprints: Mapping[Rate, bytes]
    high_snr_fingerprints: Mapping[Rate, bytes]
    projection_path: Path | None = None

    @property
    def power_shares(self) -> list[PowerShare]:
        """Power share of the codeword in each code that a transmitter's graph computes: low SNR, then high SNR."""
        codebook = self.codebook
        high_snr = [codebook.high_snr_digital_power_share] if self.high_snr_fingerprints else []
        return [codebook.digital_power_share, *high_snr]
