"""Two benchmark reports against each other, with no more said than their noise allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.report.files import BenchFile
from benchmarks.report.kinds import Stage
from semlink.errors import ConfigError

__all__ = ["DEFAULT_LEAST_CHANGE", "MIN_SAMPLES", "Comparison", "StageChange", "compare", "judge", "older_of"]

MIN_SAMPLES = 20
"""With fewer, the 95th percentile lies between the two largest samples and says nothing of the spread."""
DEFAULT_LEAST_CHANGE = 0.15
"""Unchanged code drifts from one run to the next where clocks are not locked or the host is shared, in stages too that
have nearly no spread within a run, such as packing a frame."""
_ROUNDING = 1e-9
"""Share by which a change must exceed its bound, so that one that equals it is not decided by rounding."""


class StageChange(msgspec.Struct, frozen=True):
    """One stage in both reports; `verdict` is empty where none may be given."""

    name: str
    older_p50: float | None
    newer_p50: float | None
    verdict: str


class Comparison(msgspec.Struct, frozen=True):
    """What became of one report's stages.

    Attributes
    ----------
    obstacles : why no verdict is given; empty if one is
    differing_settings : what was chosen otherwise, in words; verdicts are given all the same
    only_older, only_newer : stages without a counterpart
    least_change : share of the older median, as `judge` took it
    """

    newer: BenchFile
    older: BenchFile
    obstacles: tuple[str, ...]
    differing_settings: tuple[str, ...]
    changes: tuple[StageChange, ...]
    only_older: tuple[str, ...]
    only_newer: tuple[str, ...]
    least_change: float


def judge(newer: Stage, older: Stage, *, least_change: float = DEFAULT_LEAST_CHANGE) -> str:
    """Say in words whether a stage became faster or slower.

    The medians must differ by more than the spreads of both runs together, a spread being p95 - p50, and by more
    than `least_change` of the older median. Percentages are of the older median.

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
    calls, which does not shrink with their number, stands in for it. A change within it may still be real: repeat
    both runs. A change beyond it may still be the machine's: repeat both runs.

    Examples
    --------
    >>> def stage(p50, p95):
    ...     return Stage(name="search", num_samples=100, p50=p50, p95=p95, p99=p95, p999=p95)
    >>> judge(stage(2.0, 2.1), stage(1.0, 1.1))
    'slower by 100 %'
    >>> judge(stage(2.0, 4.0), stage(1.0, 2.0))
    'no difference beyond the noise'
    """
    if older.p50 is None or older.p95 is None or newer.p50 is None or newer.p95 is None or older.p50 <= 0:
        return "no verdict: not timed in both"
    if min(older.num_samples, newer.num_samples) < MIN_SAMPLES:
        return f"no verdict: fewer than {MIN_SAMPLES} samples"
    noise = (newer.p95 - newer.p50) + (older.p95 - older.p50)
    change = newer.p50 - older.p50
    if abs(change) <= max(noise, least_change * older.p50) * (1 + _ROUNDING):
        return "no difference beyond the noise"
    return f"{'slower' if change > 0 else 'faster'} by {abs(change) / older.p50:.0%}".replace("%", " %")


def older_of(newer: BenchFile, candidates: Sequence[BenchFile]) -> BenchFile | None:
    """The older report to compare with: of the same kind, and with the same settings if there is one.

    Among several with the same settings, as far as both name them, the latest; one with others only if it is the
    only one of its kind, such as an int8 beside an fp32.
    """
    same_kind = [older for older in candidates if older.kind == newer.kind]
    same = [
        older
        for older in same_kind
        if all(older.settings[name] == newer.settings[name] for name in older.settings.keys() & newer.settings.keys())
    ]
    if same:
        return max(same, key=lambda older: older.date)
    return same_kind[0] if len(same_kind) == 1 else None


def compare(newer: BenchFile, older: BenchFile, *, least_change: float = DEFAULT_LEAST_CHANGE) -> Comparison:
    """Compare stages by name; the rule is `judge`'s.

    No verdict is given if the device, a version or the power mode differs. semlink's own version may: that it did
    something is what is asked.

    Raises
    ------
    ConfigError
        If `least_change` is no finite number from 0 up.
    """
    if not 0 <= least_change < float("inf"):
        raise ConfigError(f"the least change must be 0 or more, got {least_change:g}")
    obstacles = tuple(_obstacles(newer, older))
    before = {stage.name: stage for stage in older.stages}
    after = {stage.name: stage for stage in newer.stages}
    return Comparison(
        newer,
        older,
        obstacles,
        tuple(_differences(newer.settings, older.settings)),
        tuple(
            StageChange(
                name,
                before[name].p50,
                stage.p50,
                "" if obstacles else judge(stage, before[name], least_change=least_change),
            )
            for name, stage in after.items()
            if name in before
        ),
        tuple(name for name in before if name not in after),
        tuple(name for name in after if name not in before),
        least_change,
    )


def _obstacles(newer: BenchFile, older: BenchFile) -> Iterator[str]:
    yield from _differences({"device": newer.device}, {"device": older.device})
    versions = [{k: v for k, v in each.versions.items() if k != "semlink"} for each in (newer, older)]
    yield from _differences(*versions)
    if newer.machine is not None and older.machine is not None:  # an old report has none
        yield from _differences(_power(newer), _power(older))


def _power(file: BenchFile) -> dict[str, str]:
    """What holds for a whole run; clocks themselves come and go within it."""
    state = file.machine
    if state is None:
        return {}
    facts: dict[str, object] = {"CPU governor": state.cpu_governor, "power mode": state.power_mode}
    for number, gpu in enumerate(state.gpus):
        facts[f"GPU {number}"] = gpu.name
        facts[f"driver of GPU {number}"] = gpu.driver
        facts[f"power limit of GPU {number}, W"] = gpu.power_limit_w
    return {name: str(value) for name, value in facts.items() if value is not None}


def _differences(newer: dict[str, str], older: dict[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*older, *newer]):
        if older.get(name) != newer.get(name):
            yield f"{name}: {older.get(name, 'not said')} before, {newer.get(name, 'not said')} now"
