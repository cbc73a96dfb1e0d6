"""Least time that a stage could take on a machine, by the roofline model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semlink.errors import ConfigError
from semlink.report import Stage

__all__ = ["Peaks"]


@dataclass(frozen=True)
class Peaks:
    """Peak rates of the machine, from its data sheet or a benchmark of its own; None if unknown.

    Parameters
    ----------
    bytes_per_s : bandwidth of the memory that a stage reads, > 0
    operations_per_s : arithmetic at the stage's precision, > 0; a multiplication with its addition counts as two

    Raises
    ------
    ConfigError
        If one is not finite and positive.
    """

    bytes_per_s: float | None = None
    operations_per_s: float | None = None

    @classmethod
    def of(cls, gb_s: float | None, tflop_s: float | None) -> Peaks:
        """Take GB/s and TFLOP/s, the units of data sheets."""
        return cls(
            bytes_per_s=None if gb_s is None else gb_s * 1e9,
            operations_per_s=None if tflop_s is None else tflop_s * 1e12,
        )

    def __post_init__(self) -> None:
        for option, value in (("--peak-gb-s", self.bytes_per_s), ("--peak-tflop-s", self.operations_per_s)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{option} must be finite and more than 0, got {value:g}")

    def floor_ms(self, stage: Stage) -> float | None:
        """Least time [ms] of a call: its bytes over the bandwidth or its operations over the peak.

        The longer of the two, as in the roofline model (Williams, Waterman & Patterson, "Roofline", CACM 52 (2009)).
        If only one is known, it is that one, which is a lower bound too. None if neither is.

        Examples
        --------
        >>> stage = Stage(name="search", num_samples=1, p50_ms=1.0, bytes_moved=2e6)
        >>> Peaks(bytes_per_s=1e10, operations_per_s=None).floor_ms(stage)
        0.2
        """
        pairs = ((stage.bytes_moved, self.bytes_per_s), (stage.operations, self.operations_per_s))
        floors = [1e3 * amount / peak for amount, peak in pairs if amount is not None and peak is not None]
        return max(floors, default=None)

    def remarks(self, stages: Sequence[Stage]) -> Iterator[str]:
        """Explain the floors of a table of stages; nothing if no peak is known."""
        if self == Peaks():
            return
        floors = {stage.name: floor for stage in stages if (floor := self.floor_ms(stage)) is not None}
        if not floors:
            yield "Floor: no stage states the bytes or operations for which a peak is given."
            return
        rates = []
        if self.bytes_per_s is not None:
            rates.append(f"{self.bytes_per_s / 1e9:g} GB/s")
        if self.operations_per_s is not None:
            rates.append(f"{self.operations_per_s / 1e12:g} TFLOP/s")
        yield f"Floor: a call's bytes, or its operations, at {' and '.join(rates)}; the longer if both are known."
        beyond = [stage.name for stage in stages if stage.p50_ms and floors.get(stage.name, 0.0) > stage.p50_ms]
        if beyond:
            yield f"Above 100 %: {', '.join(beyond)}. The data came from a cache, or the peak is not this machine's."
