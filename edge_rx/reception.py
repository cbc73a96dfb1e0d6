"""A new image on its way through the receiver, and the times of its stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_rx.decoders.base import Decoder, Observation
from semlink.frame import Frame
from semlink.timing import StageClock

__all__ = ["Reception", "by_decoder"]


@dataclass(frozen=True, slots=True, eq=False)
class Reception:
    """An image that was received and equalised, before it is decoded.

    Attributes
    ----------
    frame, decoder : the frame, and the decoder of its models
    observation : (1, ...) float32, the decoder's equalised symbols
    received_ns : `time.perf_counter_ns` at which the message was in memory
    equalize_ms : time that equalising took, the first part of the stage "decode"
    stage_ms : milliseconds of each stage of this image so far
    """

    frame: Frame
    decoder: Decoder
    observation: Observation
    received_ns: int
    equalize_ms: float
    stage_ms: dict[str, float]

    def record(self, name: str, duration_ms: float, clock: StageClock) -> None:
        """Record a stage for this image, and as a sample of a clock."""
        self.stage_ms[name] = duration_ms
        clock.record(name, duration_ms)


def by_decoder(receptions: Iterable[Reception]) -> list[list[Reception]]:
    """Group images by their decoder, in order."""
    groups: dict[int, list[Reception]] = {}
    for reception in receptions:
        groups.setdefault(id(reception.decoder), []).append(reception)
    return list(groups.values())
