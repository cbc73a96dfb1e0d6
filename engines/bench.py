"""What an engine costs: `semlink engine bench`."""

from __future__ import annotations

import msgspec

from engines.backends.runner import GraphRunner
from semlink.errors import EngineError
from semlink.image import Preprocessing, RGBImage, preprocess
from semlink.machine import MachineState
from semlink.timing import LatencySummary, StageClock

__all__ = ["EngineBench", "time_transmitter"]

_WARM_UP = 20


class EngineBench(msgspec.Struct, frozen=True):
    """What `semlink engine bench --out` writes; latency in milliseconds of host wall clock."""

    date: str
    device: str
    versions: dict[str, str]
    engine: str
    model_set: str
    codec: str
    precision: str
    picture_px: tuple[int, int]
    latency_ms: dict[str, LatencySummary]
    machine_state: MachineState | None = None


def time_transmitter(
    picture: RGBImage,
    preprocessing: Preprocessing,
    graph: GraphRunner,
    codes_slice: slice,
    *,
    num_runs: int,
) -> dict[str, LatencySummary]:
    """Milliseconds from a picture in memory to codes, one picture after another, after a warm-up."""
    clock = StageClock()
    for number in range(_WARM_UP + num_runs):
        if number == _WARM_UP:
            clock = StageClock()
        with clock.stage("image in memory to codes"):
            with clock.stage("preprocess"):
                tensor = preprocess(picture, preprocessing)
            with clock.stage("engine"):
                codes = graph(tensor[None])
        if not codes[0, codes_slice].any():
            raise EngineError("the model gave no signal for a picture, so it is broken; fetch the model set again")
    return clock.summary()
