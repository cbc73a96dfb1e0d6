"""Times an engine, and reports it: `semlink engine bench`."""

from __future__ import annotations

from collections.abc import Mapping

from engines.backends.runner import GraphRunner
from semlink.errors import EngineError
from semlink.image import Preprocessing, RGBImage, preprocess
from semlink.report import Report, Setting, Stage, provenance
from semlink.timing import LatencySummary, StageClock

__all__ = ["bench_report", "time_transmitter"]

_WARM_UP = 20
_WHOLE = "image in memory to codes"


def time_transmitter(
    picture: RGBImage,
    preprocessing: Preprocessing,
    graph: GraphRunner,
    codes_slice: slice,
    *,
    num_runs: int,
) -> dict[str, LatencySummary]:
    """Time an image in memory to codes, one image after the other, after a warm-up."""
    clock = StageClock()
    for number in range(_WARM_UP + num_runs):
        if number == _WARM_UP:
            clock = StageClock()
        with clock.stage(_WHOLE):
            with clock.stage("preprocess"):
                tensor = preprocess(picture, preprocessing)
            with clock.stage("engine"):
                codes = graph(tensor[None])
        if not codes[0, codes_slice].any():
            raise EngineError("the model gave no signal for a picture, so it is broken; fetch the model set again")
    return clock.summary()


def bench_report(latency: Mapping[str, LatencySummary], settings: dict[str, Setting], *, command: str) -> Report:
    """Make the report of `time_transmitter`'s stages; call it right after them."""
    stages = [Stage.of(name, summary, is_end_to_end=name == _WHOLE) for name, summary in latency.items()]
    return Report(kind="engine-bench", **provenance(command), settings=settings, stages=stages)
