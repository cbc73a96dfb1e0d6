"""Compares two reports stage by stage, with no more said than their noise allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

import msgspec

from semlink.errors import ConfigError
from semlink.report import Report, Stage

__all__ = ["DEFAULT_LEAST_CHANGE", "MIN_SAMPLES", "Comparison", "StageChange", "Verdict", "compare", "judge"]

MIN_SAMPLES = 20
"""With fewer, the 95th percentile lies between the two largest samples and says nothing of the spread."""
DEFAULT_LEAST_CHANGE = 0.15
"""Unchanged code drifts from one run to the next where clocks are not locked or the host is shared, in stages too that
have nearly no spread within a run, such as packing a frame."""
_ROUNDING = 1e-9
"""Share by which a change must exceed its bound, so that one that equals it is not decided by rounding."""


class Verdict(Enum):
    """What a change of the median means."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_CHANGE = "no change beyond noise"
    TOO_FEW_SAMPLES = f"fewer than {MIN_SAMPLES} samples"
    NOT_TIMED = "not timed in both"
    NOT_COMPARABLE = "not comparable"


class StageChange(msgspec.Struct, frozen=True):
    """One stage in both reports: medians [ms], their difference as a share of the older, and what it means."""

    name: str
    older_p50_ms: float | None
    newer_p50_ms: float | None
    change: float | None
    verdict: Verdict


class Comparison(msgspec.Struct, frozen=True):
    """Two reports, stage by stage.

    Attributes
    ----------
    obstacles : what differs between the two measurements so that no stage has a verdict; empty if all have
    differing_settings : options that differ, in words; stages have verdicts all the same
    only_older, only_newer : names of stages without a counterpart
    least_change : share of the older median, as given to `judge`
    """

    obstacles: list[str]
    differing_settings: list[str]
    changes: list[StageChange]
    only_older: list[str]
    only_newer: list[str]
    least_change: float


def judge(newer: Stage, older: Stage, *, least_change: float = DEFAULT_LEAST_CHANGE) -> Verdict:
    """Decide whether a stage became faster or slower.

    The medians must differ by more than the spreads of both runs together, a spread being p95 - p50, and by more
    than `least_change` of the older median.

    Parameters
    ----------
    least_change : share of the older median; lower it for a machine whose clocks are locked, 0 or more

    Notes
    -----
    The rule asks for more than a test of medians would. The notches of McGill, Tukey & Larsen, "Variations of box
    plots", The American Statistician 32 (1978), 1.57 interquartile ranges over the root of the number of samples,
    take samples to be independent; those of one process are not, and what moves between two processes (clocks,
    memory layout, neighbours) is larger than the noise within one: Georges, Buytaert & Eeckhout, "Statistically
    rigorous Java performance evaluation", OOPSLA 2007. One report holds one process, so that the spread of single
    calls, which does not shrink with their number, stands in for it. A change within it may still be real, and one
    beyond it may still be the machine's: repeat both runs.

    Examples
    --------
    >>> def stage(p50, p95):
    ...     return Stage(name="search", num_samples=100, p50_ms=p50, p95_ms=p95)
    >>> judge(stage(2.0, 2.1), stage(1.0, 1.1))
    <Verdict.SLOWER: 'slower'>
    >>> judge(stage(2.0, 4.0), stage(1.0, 2.0))
    <Verdict.NO_CHANGE: 'no change beyond noise'>
    """
    if older.p50_ms is None or newer.p50_ms is None or older.p50_ms <= 0:
        return Verdict.NOT_TIMED
    if min(older.num_samples, newer.num_samples) < MIN_SAMPLES or older.p95_ms is None or newer.p95_ms is None:
        return Verdict.TOO_FEW_SAMPLES
    noise_ms = (newer.p95_ms - newer.p50_ms) + (older.p95_ms - older.p50_ms)
    change_ms = newer.p50_ms - older.p50_ms
    if abs(change_ms) <= max(noise_ms, least_change * older.p50_ms) * (1 + _ROUNDING):
        return Verdict.NO_CHANGE
    return Verdict.SLOWER if change_ms > 0 else Verdict.FASTER


def compare(newer: Report, older: Report, *, least_change: float = DEFAULT_LEAST_CHANGE) -> Comparison:
    """Compare stages by name; the rule is `judge`'s.

    No stage has a verdict if the device, a package's version or the power mode differs. semlink's own version may
    differ: its effect is what is asked for.

    Raises
    ------
    ConfigError
        If `least_change` is not finite and 0 or more, or the reports are of different kinds or have no stages.
    """
    if not 0 <= least_change < float("inf"):
        raise ConfigError(f"the least change must be 0 or more, got {least_change:g}")
    if newer.kind != older.kind:
        raise ConfigError(f"reports of two kinds cannot be compared: {newer.kind} and {older.kind}")
    if not newer.stages or not older.stages:
        raise ConfigError(f'reports of the kind "{newer.kind}" have no timed stages to compare')
    obstacles = list(_obstacles(newer, older))
    before = {stage.name: stage for stage in older.stages}
    after = {stage.name: stage for stage in newer.stages}
    return Comparison(
        obstacles=obstacles,
        differing_settings=list(_differences(_texts(newer.settings), _texts(older.settings))),
        changes=[
            _change(
                stage,
                before[name],
                Verdict.NOT_COMPARABLE if obstacles else judge(stage, before[name], least_change=least_change),
            )
            for name, stage in after.items()
            if name in before
        ],
        only_older=[name for name in before if name not in after],
        only_newer=[name for name in after if name not in before],
        least_change=least_change,
    )


def _change(newer: Stage, older: Stage, verdict: Verdict) -> StageChange:
    share = newer.p50_ms / older.p50_ms - 1.0 if older.p50_ms and newer.p50_ms is not None else None
    return StageChange(newer.name, older.p50_ms, newer.p50_ms, share, verdict)


def _obstacles(newer: Report, older: Report) -> Iterator[str]:
    yield from _differences({"device": newer.device}, {"device": older.device})
    versions = [{k: v for k, v in each.versions.items() if k != "semlink"} for each in (newer, older)]
    yield from _differences(*versions)
    if newer.machine_state is not None and older.machine_state is not None:
        yield from _differences(_power(newer), _power(older))


def _power(report: Report) -> dict[str, str]:
    """What holds for a whole run; clocks themselves vary within it."""
    state = report.machine_state
    if state is None:
        return {}
    facts: dict[str, object] = {"CPU governor": state.cpu_governor, "power mode": state.power_mode}
    for position, gpu in enumerate(state.gpus):
        facts[f"GPU {position}"] = gpu.name
        facts[f"driver of GPU {position}"] = gpu.driver
        facts[f"power limit of GPU {position}, W"] = gpu.power_limit_w
    return _texts(facts)


def _texts(facts: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in facts.items() if value is not None}


def _differences(newer: Mapping[str, str], older: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*older, *newer]):
        if older.get(name) != newer.get(name):
            yield f"{name}: {older.get(name, 'not recorded')} before, {newer.get(name, 'not recorded')} now"
