"""Kinds of benchmark report: what each has on disk, and the rows that are made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from semlink.machine import MachineState

__all__ = ["KINDS", "Head", "Stage", "kind_of", "read_kind"]

KINDS = {
    "stages": "make bench (latency.json), make bench-gpu (latency-gpu.json)",
    "engine": "semlink engine bench --json",
    "side by side": "make bench-side-by-side (side-by-side.json)",
    "demo": "semlink demo (report.json)",
}
"""Kinds of report that are read, and what writes each."""

_Scalar = str | int | float | bool


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a report: percentiles in milliseconds, None where nothing was timed, or too little for them.

    Attributes
    ----------
    max : the longest [ms], of a row that has too few samples for percentiles
    is_end_to_end : whether it spans the other stages, from the picture to codes or to a match
    bytes_moved, operations : of one call, where its author counted them
    memory_mb : megabytes by name
    notes : whatever else the row says, by name
    """

    name: str
    num_samples: int
    p50: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None = None
    is_end_to_end: bool = False
    bytes_moved: float | None = None
    operations: float | None = None
    memory_mb: dict[str, float] = {}
    notes: dict[str, _Scalar] = {}


class _Summary(msgspec.Struct):
    # NaN, of a stage that never ran, is null in JSON.
    num_samples: int
    p50: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None = None


class Commit(msgspec.Struct):
    """Where the repository was, and whether it had changes."""

    id: str = ""
    dirty: bool = False


class Head(msgspec.Struct, kw_only=True):
    """What reports of every kind have."""

    device: str
    date: str = ""
    versions: dict[str, str] = {}
    machine_state: MachineState | None = None
    commit: Commit = msgspec.field(default_factory=Commit)


class _Stages(Head, kw_only=True):
    benchmarks: list[dict[str, Any]]
    precision: str | None = None
    backend: str | None = None
    encoder_threads: int | None = None


class _Row(msgspec.Struct):
    name: str
    num_rounds: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    bytes_moved: float | None = None
    operations: float | None = None
    latency_ms: _Summary | None = None
    stage_latency_ms: dict[str, _Summary] = {}
    tx_stage_latency_ms: dict[str, _Summary] = {}
    rx_stage_latency_ms: dict[str, _Summary] = {}


class _Engine(Head, kw_only=True):
    engine: str
    model_set: str
    codec: str
    precision: str
    picture_px: tuple[int, int]
    latency_ms: dict[str, _Summary]


class _SameWork(msgspec.Struct):
    num_pictures: int
    same_entries: int
    feature_cosine: float


class _SideBySide(Head, kw_only=True):
    num_threads: int
    picture_px: tuple[int, int]
    latency_ms: dict[str, _Summary]
    ratio_to_torch_eager: dict[str, float | None]
    num_kb_entries: int | None = None
    same_work: dict[str, _SameWork] = {}


class _Cell(msgspec.Struct):
    codec: str
    rate: str
    snr_db: float
    latency_ms: _Summary
    stage_latency_ms: dict[str, _Summary] = {}


class _Dataset(msgspec.Struct):
    dataset: str
    cells: list[_Cell]


class _Demo(Head, kw_only=True):
    encoder: str
    dataset: str
    codec: str
    rate: str
    channel: str
    precision: str
    encoder_threads: int
    latency_ms: _Summary
    datasets: list[_Dataset]


# What only a report of the kind has; an evaluation, for one, has versions and a device as well.
_MARKS: tuple[tuple[str, frozenset[str], type[Head]], ...] = (
    ("stages", frozenset({"benchmarks", "device"}), _Stages),
    ("side by side", frozenset({"ratio_to_torch_eager", "latency_ms"}), _SideBySide),
    ("engine", frozenset({"engine", "latency_ms"}), _Engine),
    ("demo", frozenset({"semantic_accuracy", "latency_ms", "datasets"}), _Demo),
)


def kind_of(content: Mapping[str, Any]) -> str | None:
    """Name the kind that a JSON object is of, a key of `KINDS`; None if it is of none."""
    return next((kind for kind, marks, _ in _MARKS if marks <= content.keys()), None)


def read_kind(kind: str, content: Mapping[str, Any]) -> tuple[Head, dict[str, str], tuple[Stage, ...]]:
    """Give a report's head, its settings by name, and its rows.

    Raises
    ------
    msgspec.ValidationError
        If a field is missing or of another type.
    """
    schema = next(schema for known, _, schema in _MARKS if known == kind)
    report = msgspec.convert(content, schema)
    settings, rows = _SHAPES[kind](report)
    return report, {name: str(value) for name, value in settings.items() if value is not None}, tuple(rows)


def _of_stages(report: _Stages) -> tuple[Mapping[str, object], Iterator[Stage]]:
    settings = {
        "precision": report.precision,
        "backend": report.backend,
        "encoder threads": report.encoder_threads,
    }
    return settings, (stage for row in report.benchmarks for stage in _row_stages(row))


def _row_stages(fields: Mapping[str, Any]) -> Iterator[Stage]:
    row = msgspec.convert(fields, _Row)
    rest = {key: value for key, value in fields.items() if key not in _Row.__struct_fields__}
    memory = {key: float(value) for key, value in rest.items() if key.endswith("_mb") and _is_number(value)}
    timed = row.latency_ms or _Summary(row.num_rounds, row.p50_ms, row.p95_ms, row.p99_ms, row.p999_ms)
    is_end_to_end = row.name.startswith("end_to_end")
    name = row.name.replace("_", " ")
    yield Stage(
        name=name,
        **msgspec.structs.asdict(timed),
        is_end_to_end=is_end_to_end,
        bytes_moved=row.bytes_moved,
        operations=row.operations,
        memory_mb=memory,
        notes={k: v for k, v in rest.items() if k not in memory and isinstance(v, (str, int, float))},
    )
    parts = (("", row.stage_latency_ms), ("tx ", row.tx_stage_latency_ms), ("rx ", row.rx_stage_latency_ms))
    for end, stages in parts:
        for part, summary in stages.items():
            yield _stage(f"{name}: {end}{part}", summary)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _of_engine(report: _Engine) -> tuple[Mapping[str, object], Iterator[Stage]]:
    settings = {
        "engine": report.engine,
        "model set": report.model_set,
        "codec": report.codec,
        "precision": report.precision,
        "picture": _pixels(report.picture_px),
    }
    return settings, (
        _stage(name, summary, is_end_to_end=name == "image in memory to codes")
        for name, summary in report.latency_ms.items()
    )


def _of_side_by_side(report: _SideBySide) -> tuple[Mapping[str, object], Iterator[Stage]]:
    settings = {
        "threads": report.num_threads,
        "picture": _pixels(report.picture_px),
        "entries": report.num_kb_entries,
    }
    return settings, (
        _stage(
            name, summary, is_end_to_end=name.startswith("picture to match"), notes=dict(_beside_torch(name, report))
        )
        for name, summary in report.latency_ms.items()
    )


def _beside_torch(name: str, report: _SideBySide) -> Iterator[tuple[str, _Scalar]]:
    ratio = report.ratio_to_torch_eager.get(name)
    if ratio is not None:
        yield "of torch eager's p50", ratio
    for who, same in report.same_work.items():
        if name.endswith(who):
            yield "same answers as torch", f"{same.same_entries} of {same.num_pictures}"
            yield "features' cosine with torch's", same.feature_cosine


def _of_demo(report: _Demo) -> tuple[Mapping[str, object], Iterator[Stage]]:
    settings = {
        "encoder": report.encoder,
        "channel": report.channel,
        "precision": report.precision,
        "encoder threads": report.encoder_threads,
    }
    return settings, _demo_stages(report)


def _demo_stages(report: _Demo) -> Iterator[Stage]:
    first = f"{report.dataset} {report.codec} {report.rate}"
    yield _stage(f"image to match: {first}, every SNR", report.latency_ms, is_end_to_end=True)
    for dataset in report.datasets:
        for cell in dataset.cells:
            name = f"{dataset.dataset} {cell.codec} {cell.rate} {cell.snr_db:g} dB"
            yield _stage(f"image to match: {name}", cell.latency_ms, is_end_to_end=True)
    # Those of one run, as the command prints them; the file holds all.
    for cell in (cell for dataset in report.datasets[:1] for cell in dataset.cells[:1]):
        for part, summary in cell.stage_latency_ms.items():
            yield _stage(f"{part} (first run)", summary)


def _stage(
    name: str, summary: _Summary, *, is_end_to_end: bool = False, notes: dict[str, _Scalar] | None = None
) -> Stage:
    return Stage(name=name, **msgspec.structs.asdict(summary), is_end_to_end=is_end_to_end, notes=notes or {})


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


_SHAPES: dict[str, Any] = {
    "stages": _of_stages,
    "engine": _of_engine,
    "side by side": _of_side_by_side,
    "demo": _of_demo,
}
