"""One page of any set of benchmark reports; `benchmarks.report.render` writes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.report.compare import MIN_SAMPLES, Comparison
from benchmarks.report.files import BenchFile
from benchmarks.report.kinds import KINDS, Stage
from semlink.errors import ConfigError
from semlink.machine import MachineState

__all__ = ["Page", "Peaks", "Section", "Table", "build_page"]

_ABSENT = "-"


@dataclass(frozen=True)
class Peaks:
    """What the machine could do at best, where it is known; both from its data sheet or a benchmark of its own.

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

    def __post_init__(self) -> None:
        for option, value in (("--peak-gb-s", self.bytes_per_s), ("--peak-tflop-s", self.operations_per_s)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{option} must be finite and more than 0, got {value:g}")

    def floor_ms(self, stage: Stage) -> float | None:
        """Least time [ms] that a call could take: its bytes over the bandwidth or its operations over the peak.

        The longer of the two, as in the roofline model (Williams, Waterman & Patterson, "Roofline", CACM 52 (2009)).
        Where only one is known it is that one, a floor all the same. None where neither is.

        Examples
        --------
        >>> stage = Stage(name="search", num_samples=1, p50=1, p95=1, p99=1, p999=1, bytes_moved=2e6)
        >>> Peaks(bytes_per_s=1e10, operations_per_s=None).floor_ms(stage)
        0.2
        """
        pairs = ((stage.bytes_moved, self.bytes_per_s), (stage.operations, self.operations_per_s))
        floors = [1e3 * amount / peak for amount, peak in pairs if amount is not None and peak is not None]
        return max(floors, default=None)


@dataclass(frozen=True)
class Table:
    """Cells as text, every row as long as `headers`; the first column and the last `num_texts` are not numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_texts: int = 0

    def is_number(self, column: int) -> bool:
        """Whether a column is set to the right."""
        return 0 < column < len(self.headers) - self.num_texts


@dataclass(frozen=True)
class Section:
    """A heading, facts by name, sentences, a table, and sentences after it."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    before: tuple[str, ...] = ()
    table: Table | None = None
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """What a renderer gets."""

    title: str
    sections: tuple[Section, ...]


def build_page(
    files: Sequence[BenchFile],
    comparisons: Sequence[Comparison] = (),
    *,
    uncompared: Sequence[BenchFile] = (),
    peaks: Peaks | None = None,
) -> Page:
    """Put every report, and then every comparison, on a page.

    Parameters
    ----------
    uncompared : reports for which no older one was found, so that the page says it
    """
    peaks = peaks or Peaks()
    sections = [_file_section(file, peaks) for file in files]
    sections += [_comparison_section(comparison) for comparison in comparisons]
    if uncompared:
        names = ", ".join(str(file.path) for file in uncompared)
        text = f"{names}: among the older reports there is none, or more than one, of the kind and with these settings."
        sections.append(Section("Not compared", before=(text,)))
    return Page("Latency", tuple(sections))


def _file_section(file: BenchFile, peaks: Peaks) -> Section:
    # A stable sort: end to end first, and otherwise as they ran.
    stages = sorted(file.stages, key=lambda stage: not stage.is_end_to_end)
    floors = {id(stage): peaks.floor_ms(stage) for stage in stages}
    has_floor = any(floor is not None for floor in floors.values())
    has_notes = any(stage.notes for stage in stages)
    has_max = any(stage.max is not None for stage in stages)
    headers = ["stage", "samples", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms"]
    if has_max:
        headers.append("max ms")
    headers += ["floor ms", "floor / p50"] * has_floor + ["besides"] * has_notes
    rows = []
    for stage in stages:
        row = [stage.name, str(stage.num_samples), *map(_ms, (stage.p50, stage.p95, stage.p99, stage.p999))]
        if has_max:
            row.append(_ms(stage.max))
        if has_floor:
            row += [_ms(floors[id(stage)]), _share(floors[id(stage)], stage.p50)]
        if has_notes:
            row.append(", ".join(f"{name}: {_plain(value)}" for name, value in stage.notes.items()))
        rows.append(tuple(row))
    return Section(
        str(file.path),
        facts=tuple((name, value) for name, value in _facts(file) if value),
        table=Table(tuple(headers), tuple(rows), num_texts=int(has_notes)),
        after=tuple(_floor_notes(stages, floors, peaks)),
    )


def _facts(file: BenchFile) -> Iterator[tuple[str, str]]:
    yield "written by", KINDS[file.kind]
    yield "date", file.date
    yield "commit", file.commit
    yield "device", file.device
    yield "clocks and power", _machine(file.machine)
    yield from file.settings.items()
    yield "versions", ", ".join(f"{name} {version}" for name, version in file.versions.items())
    yield (
        "memory",
        ", ".join(
            f"{name.removesuffix('_mb').replace('_', ' ')} {value:.0f} MB ({stage.name})"
            for stage in file.stages
            for name, value in stage.memory_mb.items()
        ),
    )


def _machine(state: MachineState | None) -> str:
    if state is None:
        return "not recorded"
    parts = []
    if state.cpu_governor is not None:
        parts.append(f"governor {state.cpu_governor}")
    if state.cpu_mhz is not None:
        parts.append(f"first core at {state.cpu_mhz:.0f} MHz")
    if state.power_mode is not None:
        parts.append(f"power mode {state.power_mode}")
    for gpu in state.gpus:
        told = (
            (gpu.driver, "driver {}"),
            (gpu.sm_mhz, "SM {:.0f} MHz"),
            (gpu.memory_mhz, "memory {:.0f} MHz"),
            (gpu.power_limit_w, "at most {:.0f} W"),
            (gpu.performance_state, "{}"),
        )
        parts.append(" ".join([gpu.name, *(form.format(value) for value, form in told if value is not None)]))
    if state.tegrastats is not None:
        parts.append(f"tegrastats: {state.tegrastats}")
    return "; ".join(parts) or "this machine tells none"


def _floor_notes(stages: Sequence[Stage], floors: dict[int, float | None], peaks: Peaks) -> Iterator[str]:
    if peaks == Peaks():
        return
    if all(floor is None for floor in floors.values()):
        yield "Floor: no stage here says how many bytes it moves, or operations it does, for which a peak is given."
        return
    at = []
    if peaks.bytes_per_s is not None:
        at.append(f"{peaks.bytes_per_s / 1e9:g} GB/s")
    if peaks.operations_per_s is not None:
        at.append(f"{peaks.operations_per_s / 1e12:g} TFLOP/s")
    yield f"Floor: a call's bytes, or its operations, at {' and '.join(at)}; the longer where both are known."
    beyond = [stage.name for stage in stages if (floor := floors[id(stage)]) and stage.p50 and floor > stage.p50]
    if beyond:
        yield f"Above 100 %: {', '.join(beyond)}. The data then came from a cache, or the peak is not this machine's."


def _comparison_section(comparison: Comparison) -> Section:
    newer, older = comparison.newer, comparison.older
    rows = tuple(
        (
            change.name,
            _ms(change.older_p50),
            _ms(change.newer_p50),
            _change(change.older_p50, change.newer_p50),
            *(() if comparison.obstacles else (change.verdict,)),
        )
        for change in comparison.changes
    )
    headers = ("stage", "p50 before, ms", "p50 now, ms", "change")
    return Section(
        f"{newer.path} against {older.path}",
        before=tuple(_comparison_notes(comparison)),
        table=Table(headers if comparison.obstacles else (*headers, "verdict"), rows, int(not comparison.obstacles)),
        after=tuple(
            f"Only {which}: {', '.join(names)}."
            for which, names in (("before", comparison.only_older), ("now", comparison.only_newer))
            if names
        ),
    )


def _comparison_notes(comparison: Comparison) -> Iterator[str]:
    newer, older = comparison.newer, comparison.older
    if comparison.obstacles:
        yield f"No verdict, since the two were not measured alike: {'; '.join(comparison.obstacles)}."
    else:
        yield (
            "A stage is called faster or slower where its p50 changed by more than the spreads of both runs together"
            f" (p95 - p50 of each) and by more than {comparison.least_change:.0%}".replace("%", " %")
            + f", from {MIN_SAMPLES} samples on."
        )
    ours = [file.versions.get("semlink", "") for file in (older, newer)]
    if ours[0] != ours[1]:
        yield f"semlink {ours[0] or 'of a version not said'} before, {ours[1] or 'of a version not said'} now."
    if comparison.differing_settings:
        yield f"Settings differ: {'; '.join(comparison.differing_settings)}."
    if (newer.machine is None) != (older.machine is None):
        yield "Clocks and power mode are recorded in one of the two only, and so not compared."


def _ms(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.{3 if value >= 0.1 else 4}f}"


def _share(floor: float | None, p50: float | None) -> str:
    return _ABSENT if floor is None or not p50 else f"{100 * floor / p50:.0f} %"


def _change(older: float | None, newer: float | None) -> str:
    return _ABSENT if not older or newer is None else f"{100 * (newer / older - 1):+.0f} %"


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
