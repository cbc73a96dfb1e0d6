"""Codes that a digital radio can send: every symbol a point of QPSK, 16-QAM or 64-QAM.

Each real goes to the nearest level of its own axis, so a symbol is a point of a square constellation. Then
all of a transmission is scaled to unit mean power, as every transmission is: a radio sends a packet at one
amplitude, which scales all points alike.
"""

from __future__ import annotations

import enum

import numpy as np

from semlink.iq import Symbols, normalize_power, unpair_symbols

__all__ = ["Constellation"]


class Constellation(str, enum.Enum):
    """Square constellations by the name that commands take."""

    QPSK = "qpsk"
    QAM16 = "16qam"
    QAM64 = "64qam"

    @property
    def levels_per_axis(self) -> int:
        """2, 4 or 8: the points are that many by that many."""
        return {Constellation.QPSK: 2, Constellation.QAM16: 4, Constellation.QAM64: 8}[self]

    def nearest(self, symbols: Symbols) -> Symbols:
        """Move every symbol to the nearest point, and scale each transmission to unit power.

        Parameters
        ----------
        symbols : (..., n) complex64, of unit mean power

        Returns
        -------
        points : (..., n) complex64, mean |x|^2 = 1 in each row

        Examples
        --------
        >>> Constellation.QAM16.nearest(np.array([0.1 - 2j, 0.5 + 1j], np.complex64)).round(3)
        array([0.316-0.949j, 0.316+0.949j], dtype=complex64)
        """
        count = self.levels_per_axis
        # Levels +-1, +-3 ...: mean square (count^2 - 1) / 3 in each axis, and half the unit power belongs there.
        step = np.float32(np.sqrt(1.5 / (count**2 - 1)))
        reals = unpair_symbols(symbols) / step
        levels = np.clip(2 * np.floor(reals / 2) + 1, 1 - count, count - 1)
        return normalize_power(np.asarray(levels, dtype=np.float32).view(np.complex64))
