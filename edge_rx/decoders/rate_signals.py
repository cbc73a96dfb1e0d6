"""The signals of a knowledge base at one rate, and observations that are compared with them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.base import check_symbols
from edge_rx.decoders.templates import SignalTemplates
from engines.models.arrays import FloatArray
from engines.models.codewords import repeat
from semlink.iq import Symbols, unpair_symbols
from semlink.rates import Rate

__all__ = ["Observed", "RateSignals", "reals_and_repetitions"]

_BLOCK = 8192


class Observed(NamedTuple):
    """Equalised transmissions, repetitions averaged.

    Attributes
    ----------
    reals : (batch, dim) float32
    variance : (batch,) float64, of the noise in each real
    """

    reals: FloatArray
    variance: npt.NDArray[np.float64]


class RateSignals:
    """Prefixes of templates with the power that a transmitter gives them.

    Parameters
    ----------
    templates : signals of the knowledge base's entries
    rate : number of symbols

    Attributes
    ----------
    longest : (signals, width) float32, whose first `dim` reals times `gains` are the signals of this rate
    gains : (signals,) float32, to a mean square of one half for each real, times the expected correlation
    correlations : (signals,) float32, expected correlation of a received prefix with each signal
    half_energy : (signals,) float32, half of each signal's energy
    unexplained : variance of each real that is neither signal nor noise
    dim, num_repeats : reals of a signal, and how often it is sent
    """

    def __init__(self, templates: SignalTemplates, rate: Rate) -> None:
        width = templates.signals.shape[1]
        self.dim, self.num_repeats = reals_and_repetitions(rate, width)
        # Repetitions are stored only for rates that are not a whole number of them.
        self.longest = templates.signals if self.dim <= width else repeat(templates.signals)
        self.unexplained = templates.unexplained(self.dim)
        scale = self.correlations = templates.scale(self.dim)
        lengths = [
            np.linalg.norm(self.longest[start : start + _BLOCK, : self.dim], axis=1)
            for start in range(0, len(self.longest), _BLOCK)
        ]
        # As the transmitter normalises: mean |x|^2 = 1, half of it in each real.
        unit = np.sqrt(self.dim / 2) / np.maximum(np.concatenate(lengths), np.finfo(np.float32).tiny)
        self.gains = np.asarray(unit * scale, dtype=np.float32)
        self.half_energy = np.asarray(scale**2 * (self.dim / 4), dtype=np.float32)

    def signals(self) -> FloatArray:
        """The signals, (signals, dim) float32."""
        return self.longest[:, : self.dim] * self.gains[:, None]

    def observed(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> Observed:
        """Bring equalised symbols to the signals' form.

        Parameters
        ----------
        symbols : (batch, n) complex64, equalised
        noise_variance : (batch,) N0 of those symbols

        Raises
        ------
        DecodeError
            If the number of symbols does not fit the rate, or a number is not finite.
        """
        return observed(symbols, noise_variance, dim=self.dim, num_repeats=self.num_repeats)


def observed(symbols: Symbols, noise_variance: npt.NDArray[np.float64], *, dim: int, num_repeats: int) -> Observed:
    """See `RateSignals.observed`."""
    check_symbols(symbols, noise_variance, num_reals=num_repeats * dim)
    reals = unpair_symbols(symbols).reshape(len(symbols), num_repeats, dim).mean(axis=1)
    # Per real: half the noise variance, reduced by averaging repeats.
    return Observed(reals, np.asarray(noise_variance) / 2 / num_repeats)


def reals_and_repetitions(rate: Rate, width: int) -> tuple[int, int]:
    """Reals of a rate's signals, and their number of repetitions, if that is a whole number: they are averaged."""
    repeats, rest = divmod(rate.latent_dim, width)
    return (width, repeats) if repeats and not rest else (rate.latent_dim, 1)
