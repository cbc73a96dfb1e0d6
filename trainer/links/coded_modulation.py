"""Bits to symbols and back as 5G does it: LDPC code, bit interleaver, Gray-mapped QAM, soft decisions.

One image is one codeword and one packet. Code and rate matching are 3GPP TS 38.212, 5.3.2 and 5.4.2, constellations
TS 38.211, 5.1; bit likelihoods are exact ("app") and decoding is 20 iterations of sum-product. All of it is Sionna's
(Hoydis et al., "Sionna: an open-source library for next-generation physical layer research", 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from semlink.errors import ConfigError
from semlink.iq import Symbols, normalize_power
from trainer.codecs.packages import missing_module

__all__ = ["CODE_RATES", "MODULATIONS", "Bits", "CodedModulation", "Mode", "modes"]

Bits = npt.NDArray[np.uint8]

MODULATIONS = {2: "QPSK", 4: "16-QAM", 6: "64-QAM"}
"""By bits per symbol."""

_HIGH_RATES = (Fraction(1, 2), Fraction(2, 3), Fraction(3, 4))
CODE_RATES = {
    2: (Fraction(1, 10), Fraction(1, 5), Fraction(1, 3), *_HIGH_RATES),
    4: _HIGH_RATES,
    6: (*_HIGH_RATES, Fraction(5, 6)),
}
"""By bits per symbol. Low rates of the larger constellations carry no more than QPSK and need a higher SNR.

Below 1/5, the lowest rate of the code, coded bits are repeated (TS 38.212, 5.4.2.1)."""

_MIN_MOTHER_RATE = Fraction(1, 5)
_MIN_BITS = 12
"""Fewest information bits of Sionna's encoder; no picture fits in fewer."""
_ITERATIONS = 20
_BATCH = 200


@dataclass(frozen=True)
class Mode:
    """A modulation with a code rate, at n symbols an image.

    Examples
    --------
    >>> mode = Mode(64, bits_per_symbol=4, code_rate=Fraction(1, 3))
    >>> mode.num_coded_bits, mode.num_bits, mode.num_bytes
    (256, 85, 10)
    """

    num_symbols: int
    bits_per_symbol: int
    code_rate: Fraction

    @property
    def num_coded_bits(self) -> int:
        """Coded bits that the n symbols carry."""
        return self.num_symbols * self.bits_per_symbol

    @property
    def num_bits(self) -> int:
        """Information bits, rounded down."""
        return math.floor(self.num_coded_bits * self.code_rate)

    @property
    def num_bytes(self) -> int:
        """Whole bytes of information."""
        return self.num_bits // 8

    def __str__(self) -> str:
        return f"{MODULATIONS[self.bits_per_symbol]} {self.code_rate}"


def modes(num_symbols: int) -> list[Mode]:
    """All modes of a rate, by increasing number of information bits."""
    every = (Mode(num_symbols, bits, rate) for bits in MODULATIONS for rate in CODE_RATES[bits])
    return sorted((mode for mode in every if mode.num_bits >= _MIN_BITS), key=lambda mode: mode.num_bits)


class CodedModulation:
    """Both ends of one mode.

    Raises
    ------
    ConfigError
        If the mode carries fewer bits than the code can have.
    MissingDependencyError
        If Sionna is not installed.
    """

    def __init__(self, mode: Mode) -> None:
        if mode.num_bits < _MIN_BITS:
            raise ConfigError(f"{mode} on {mode.num_symbols} symbols carries {mode.num_bits} bits, {_MIN_BITS} needed")
        try:
            from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder
            from sionna.phy.mapping import Demapper, Mapper
        except ImportError as error:
            raise missing_module(str(error.name), "bpg-ldpc") from None
        self.mode = mode
        longest = math.floor(mode.num_bits / _MIN_MOTHER_RATE)
        self._num_mother_bits = min(mode.num_coded_bits, longest - longest % mode.bits_per_symbol)
        self._encoder = LDPC5GEncoder(
            mode.num_bits, self._num_mother_bits, num_bits_per_symbol=mode.bits_per_symbol, device="cpu"
        )
        self._decoder = LDPC5GDecoder(self._encoder, cn_update="boxplus-phi", num_iter=_ITERATIONS, device="cpu")
        self._mapper = Mapper("qam", mode.bits_per_symbol, device="cpu")
        self._demapper = Demapper("app", "qam", mode.bits_per_symbol, device="cpu")
        # Known to both ends. Without it, padding would repeat one corner of the constellation, and the scaling to unit
        # power would move that corner onto another point.
        self._scrambling = np.random.default_rng([38, 211]).integers(0, 2, mode.num_bits, dtype=np.uint8)

    def modulate(self, bits: Bits) -> Symbols:
        """Code and map.

        Parameters
        ----------
        bits : (batch, num_bits) uint8, 0 or 1

        Returns
        -------
        symbols : (batch, n) complex64, each row scaled to unit mean power, which QAM has only on average over messages
        """
        import torch

        with torch.no_grad():
            coded = self._encoder(torch.from_numpy((bits ^ self._scrambling).astype(np.float32)))
            repeated = coded[:, torch.arange(self.mode.num_coded_bits) % self._num_mother_bits]
            return normalize_power(self._mapper(repeated).numpy().astype(np.complex64))

    def demodulate(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> Bits:
        """Compute the coded bits' log-likelihood ratios, decode, and decide.

        Parameters
        ----------
        symbols : (batch, n) complex64, equalized
        noise_variance : (batch,) estimated N0 of the symbols

        Returns
        -------
        bits : (batch, num_bits) uint8, with errors if decoding failed
        """
        starts = range(0, len(symbols), _BATCH)
        parts = [self._demodulate(symbols[i : i + _BATCH], noise_variance[i : i + _BATCH]) for i in starts]
        return np.concatenate(parts) if parts else np.zeros((0, self.mode.num_bits), dtype=np.uint8)

    def _demodulate(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> Bits:
        import torch

        with torch.no_grad():
            variance = torch.from_numpy(noise_variance.astype(np.float32))[:, None]
            likelihoods = self._demapper(torch.from_numpy(symbols), variance.expand(-1, self.mode.num_symbols))
            combined = torch.zeros(len(symbols), self._num_mother_bits)
            combined.index_add_(1, torch.arange(self.mode.num_coded_bits) % self._num_mother_bits, likelihoods)
            decided: npt.NDArray[np.float32] = self._decoder(combined).numpy()
        return decided.astype(np.uint8) ^ self._scrambling
