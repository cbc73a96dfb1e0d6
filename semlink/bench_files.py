"""Benchmark reports as they lie on disk, of every kind, read into one shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from semlink.errors import ConfigError
from semlink.provenance import MachineState

__all__ = ["KINDS", "BenchFile", "Stage", "read_bench_file"]

KINDS = {
    "stages": "make bench (latency.json), make bench-gpu (latency-gpu.json)",
    "engine": "semlink engine bench --json",
    "side by side": "make bench-side-by-side (side-by-side.json)",
    "demo": "semlink demo (report.json)",
}
"""Kinds of report that are read, and what writes each."""

_MAX_BYTES = 16 * 2**20
"""The largest report in the repository, an evaluation's, has 0.4 MB; a list of every sample is no report."""

_Scalar = str | int | float | bool


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a report: percentiles in milliseconds, None where nothing was timed.

    Attributes
    ----------
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
    is_end_to_end: bool = False
    bytes_moved: float | None = None
    operations: float | None = None
    memory_mb: dict[str, float] = {}
    notes: dict[str, _Scalar] = {}


class BenchFile(msgspec.Struct, frozen=True, kw_only=True):
    """A report of any kind.

    Attributes
    ----------
    kind : key of `KINDS`
    settings : what was chosen for the run, such as precision and threads
    """

    path: Path
    kind: str
    date: str
    device: str
    versions: dict[str, str]
    settings: dict[str, str]
    stages: tuple[Stage, ...]
    machine: MachineState | None = None
    commit: str = ""


class _Summary(msgspec.Struct):
    # NaN, of a stage that never ran, is null in JSON.
    num_samples: int
    p50: float | None
    p95: float | None
    p99: float | None
    p999: float | None


class _Head(msgspec.Struct, kw_only=True):
    device: str
    date: str = ""
    versions: dict[str, str] = {}
    machine_state: MachineState | None = None


class _Commit(msgspec.Struct):
    id: str = ""
    dirty: bool = False


class _Stages(_Head, kw_only=True):
    benchmarks: list[dict[str, Any]]
    precision: str | None = None
    encoder_threads: int | None = None
    commit: _Commit = msgspec.field(default_factory=_Commit)


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
    tx_stage_latency_ms: dict[str, _Summary] = {}
    rx_stage_latency_ms: dict[str, _Summary] = {}


class _Engine(_Head, kw_only=True):
    engine: str
    model_set: str
    codec: str
    precision: str
    picture_px: tuple[int, int]
    latency_ms: dict[str, _Summary]


class _SideBySide(_Head, kw_only=True):
    num_threads: int
    picture_px: tuple[int, int]
    latency_ms: dict[str, _Summary]
    ratio_to_torch_eager: dict[str, float | None]


class _Cell(msgspec.Struct):
    codec: str
    rate: str
    snr_db: float
    latency_ms: _Summary
    stage_latency_ms: dict[str, _Summary] = {}


class _Dataset(msgspec.Struct):
    dataset: str
    cells: list[_Cell]


class _Demo(_Head, kw_only=True):
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
_MARKS: tuple[tuple[str, frozenset[str], type[_Head]], ...] = (
    ("stages", frozenset({"benchmarks", "device"}), _Stages),
    ("side by side", frozenset({"ratio_to_torch_eager", "latency_ms"}), _SideBySide),
    ("engine", frozenset({"engine", "latency_ms"}), _Engine),
    ("demo", frozenset({"semantic_accuracy", "latency_ms", "datasets"}), _Demo),
)


def read_bench_file(path: Path) -> BenchFile:
    """Read a report of any kind in `KINDS`; fields that this version does not know are passed over.

    Raises
    ------
    ConfigError
        If it cannot be read, is not JSON, or is no report of a known kind.
    """
    content = _json_object(path)
    found = next(((kind, schema) for kind, marks, schema in _MARKS if marks <= content.keys()), None)
    if found is None:
        raise ConfigError(f"{path}: not a benchmark report; the kinds known are those of {', '.join(KINDS.values())}")
    kind, schema = found
    try:
        report = msgspec.convert(content, schema)
        settings, rows = _SHAPES[kind](report)
        stages = tuple(rows)  # rows are read as they come
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: a damaged report of {KINDS[kind]}: {error}") from None
    commit = report.commit if isinstance(report, _Stages) else _Commit()
    return BenchFile(
        path=path,
        kind=kind,
        date=report.date,
        device=report.device,
        versions=report.versions,
        settings={name: str(value) for name, value in settings.items() if value is not None},
        stages=stages,
        machine=report.machine_state,
        commit=f"{commit.id[:10]}{' and changes' if commit.dirty else ''}",
    )


def _json_object(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path}: over {_MAX_BYTES // 2**20} MiB, which no benchmark report has")
    try:
        content = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON, or cut short: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a benchmark report, which would be a JSON object")
    return content


def _of_stages(report: _Stages) -> tuple[Mapping[str, object], Iterator[Stage]]:
    settings = {"precision": report.precision, "encoder threads": report.encoder_threads}
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
    for end, stages in (("tx", row.tx_stage_latency_ms), ("rx", row.rx_stage_latency_ms)):
        for part, summary in stages.items():
            yield _stage(f"{name}: {end} {part}", summary)


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
    settings = {"threads": report.num_threads, "picture": _pixels(report.picture_px)}
    ratios = report.ratio_to_torch_eager
    return settings, (
        _stage(name, summary, is_end_to_end=True, notes={"of torch eager's p50": ratio} if ratio is not None else {})
        for name, summary in report.latency_ms.items()
        for ratio in (ratios.get(name),)
    )


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
