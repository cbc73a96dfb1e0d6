"""A new image on its way through the receiver, and the times of its stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edge_rx.decoders.base import Decoder
from semlink.frame import Frame
from semlink.iq import Symbols
from semlink.timing import StageClock

__all__ = ["Reception", "by_decoder"]


@dataclass(slots=True)
class Reception:
    """A new image between its frame and its match.

    Attributes
    ----------
    frame, decoder, symbols : the frame, its models' decoder, and its dequantized symbols, pilots first
    received_ns : `time.perf_counter_ns` at which the message was in memory
    clock : clock that every stage is recorded in
    stage_ms : milliseconds of each stage of this image
    """

    frame: Frame
    decoder: Decoder
    symbols: Symbols
    received_ns: int
    clock: StageClock
    stage_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body of a with statement; a body that raises is not a sample."""
        with self.clock.stage(name):
            yield
        self.stage_ms[name] = self.clock.last_ms[name]

    def record(self, name: str, duration_ms: float) -> None:
        """Record a stage that was timed elsewhere."""
        self.stage_ms[name] = duration_ms
        self.clock.record(name, duration_ms)


def by_decoder(images: Iterable[Reception]) -> list[list[int]]:
    """Positions of the images of each decoder, in order."""
    groups: dict[int, list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(id(image.decoder), []).append(index)
    return list(groups.values())
