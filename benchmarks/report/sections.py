"""Sections of a page: one for each report, and one for a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.report.charts import draw_changes, draw_stages
from benchmarks.report.compare import MIN_SAMPLES, Comparison, Verdict
from benchmarks.report.facts import commit_text, header_facts, label, value_text
from benchmarks.report.files import ReportFile
from benchmarks.report.page import Chart, Section, Table, milliseconds
from benchmarks.report.peaks import Peaks
from semlink.errors import packages_of
from semlink.report import Report, Stage

__all__ = ["comparison_section", "report_section", "stage_table"]

_MOST_ROWS = 60
"""Rows of a table of another kind than stages; more are for a program to read."""
_MOST_NAMED = 4
_CHANGES = (Verdict.SLOWER, Verdict.FASTER)
_UNJUDGED = {
    Verdict.TOO_FEW_SAMPLES: "have too few samples",
    Verdict.NOT_TIMED: "are not timed in both",
    Verdict.NOT_COMPARABLE: "are not comparable",
}
"""What the headline says of stages without a verdict, after their number."""


def report_section(file: ReportFile, peaks: Peaks | None = None) -> Section:
    """Show a report of any kind: verdict, chart and tables first, how it was measured last.

    Raises
    ------
    MissingDependencyError
        If it is an evaluation or a study, and the packages that those need are not installed.
    """
    facts = tuple(header_facts(file.report))
    if file.report.kind in ("evaluation", "study"):
        with packages_of("train", purpose=f"a page of {file.report.kind} results"):
            from benchmarks.report import accuracy
        return accuracy.section(file, facts)
    peaks = peaks or Peaks()
    stages = sorted(file.report.stages, key=lambda stage: not stage.is_end_to_end)
    tables = [stage_table(stages, peaks)] if stages else []
    return Section(
        file.title,
        verdict=_stages_verdict(stages),
        chart=Chart("latency of the stages", partial(draw_stages, stages)) if stages else None,
        tables=(*tables, *_body_tables(file.body)),
        remarks=tuple(peaks.remarks(stages)),
        figures=tuple(_body_figures(file.body)),
        facts=facts,
    )


def stage_table(stages: Sequence[Stage], peaks: Peaks | None = None) -> Table:
    """Percentiles of each stage in milliseconds, and its floor where a peak is known."""
    peaks = peaks or Peaks()
    rows = []
    for stage in stages:
        floor_ms = peaks.floor_ms(stage)
        times = (stage.p50_ms, stage.p95_ms, stage.p99_ms, stage.p999_ms, stage.max_ms, floor_ms)
        share = f"{100 * floor_ms / stage.p50_ms:.0f} %" if floor_ms is not None and stage.p50_ms else ""
        notes = {name: value_text(value) for name, value in stage.notes.items()}
        notes |= {name: f"{value:.0f} MB" for name, value in stage.memory_mb.items()}
        notes_text = ", ".join(f"{name}: {text}" for name, text in notes.items())
        rows.append((stage.name, str(stage.num_samples), *map(milliseconds, times), share, notes_text))
    headers = ("stage", "samples", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms", "floor ms", "floor / p50")
    return Table.of((*headers, "notes"), rows, text_columns=("stage", "notes"))


def _stages_verdict(stages: Sequence[Stage]) -> str:
    """Say how long the whole takes; how long the slowest stage, if none spans the others."""
    timed = [stage for stage in stages if stage.p50_ms is not None]
    whole = [stage for stage in timed if stage.is_end_to_end]
    if not timed:
        return ""
    if not whole:
        return f"Slowest stage: {_latency(max(timed, key=lambda stage: stage.p50_ms or 0.0))}."
    more = f"; {len(whole) - _MOST_NAMED} more below" if len(whole) > _MOST_NAMED else ""
    return f"{'; '.join(map(_latency, whole[:_MOST_NAMED]))}{more}."


def _latency(stage: Stage) -> str:
    p99 = "" if stage.p99_ms is None else f", p99 {milliseconds(stage.p99_ms)} ms"
    return f"{stage.name}: p50 {milliseconds(stage.p50_ms)} ms{p99}"


def _body_figures(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in body.items():
        if _is_scalar(value):
            yield label(name), value_text(value)


def _body_tables(body: Mapping[str, Any]) -> Iterator[Table]:
    """Tables of what a kind has besides stages: lists of objects, and scalars by name."""
    for name, value in body.items():
        if isinstance(value, dict) and value and all(map(_is_scalar, value.values())):
            yield _table([{label(name): key, "value": each} for key, each in value.items()])
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            yield _table(value)


def _table(objects: Sequence[Mapping[str, Any]]) -> Table:
    """The scalar fields of each object; those of objects and lists in them stay in the file."""
    names = list(dict.fromkeys(name for each in objects for name, value in each.items() if _is_scalar(value)))
    rows = [[value_text(each.get(name)) for name in names] for each in objects[:_MOST_ROWS]]
    if len(objects) > _MOST_ROWS:
        rows.append([f"{len(objects) - _MOST_ROWS} more in the file", *[""] * (len(names) - 1)])
    texts = [label(name) for name in names if any(isinstance(each.get(name), str) for each in objects)]
    return Table.of(list(map(label, names)), rows, text_columns=texts)


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float))


def comparison_section(comparison: Comparison, newer: Report, older: Report) -> Section:
    """Show a comparison: what became slower or faster first."""
    ranked = sorted(comparison.changes, key=lambda change: change.verdict not in _CHANGES)
    rows = [
        (
            change.name,
            milliseconds(change.older_p50_ms),
            milliseconds(change.newer_p50_ms),
            "" if change.change is None else f"{100 * change.change:+.0f} %",
            "" if change.verdict is Verdict.NOT_COMPARABLE else change.verdict.value,
        )
        for change in ranked
    ]
    headers = ("stage", "p50 before, ms", "p50 now, ms", "change", "verdict")
    made = [f"{each.made_at}, commit {commit_text(each) or 'not recorded'}" for each in (older, newer)]
    return Section(
        "New against old",
        verdict=_comparison_verdict(comparison),
        chart=Chart("change of each stage", partial(draw_changes, comparison)) if comparison.changes else None,
        tables=(Table.of(headers, rows, text_columns=("stage", "verdict")),),
        remarks=tuple(_comparison_remarks(comparison, newer, older)),
        facts=(("before", made[0]), ("now", made[1]), ("device", newer.device)),
    )


def _comparison_verdict(comparison: Comparison) -> str:
    if comparison.obstacles:
        return f"No verdict, since the two were not measured alike: {'; '.join(comparison.obstacles)}."
    sentences = []
    for verdict in _CHANGES:
        changes = [change for change in comparison.changes if change.verdict is verdict]
        changes.sort(key=lambda change: -abs(change.change or 0.0))
        if changes:
            named = (f"{each.name} by {100 * abs(each.change or 0.0):.0f} %" for each in changes[:_MOST_NAMED])
            more = f" and {len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
            sentences.append(f"{verdict.value.capitalize()}: {', '.join(named)}{more}.")
    num_by_verdict = Counter(change.verdict for change in comparison.changes)
    others = [f"{num_by_verdict[verdict]} {text}" for verdict, text in _UNJUDGED.items() if num_by_verdict[verdict]]
    unjudged = f"; {', '.join(others)}" if others else ""
    num_unchanged = num_by_verdict[Verdict.NO_CHANGE]
    sentences.append(f"No change beyond noise: {num_unchanged} of {len(comparison.changes)} stages{unjudged}.")
    return " ".join(sentences)


def _comparison_remarks(comparison: Comparison, newer: Report, older: Report) -> Iterator[str]:
    if not comparison.obstacles:
        yield (
            "A stage is faster or slower if its p50 changed by more than the spreads of both runs together (p95 - p50"
            f" of each) and by more than {100 * comparison.least_change:g} %, from {MIN_SAMPLES} samples on."
        )
    versions = [report.versions.get("semlink", "of unknown version") for report in (older, newer)]
    if versions[0] != versions[1]:
        yield f"semlink {versions[0]} before, {versions[1]} now."
    if comparison.differing_settings:
        yield f"Settings differ: {'; '.join(comparison.differing_settings)}."
    if (newer.machine_state is None) != (older.machine_state is None):
        yield "Clocks and power mode are recorded in one of the two only, and so not compared."
    for which, names in (("before", comparison.only_older), ("now", comparison.only_newer)):
        if names:
            yield f"Only {which}: {', '.join(names)}."
