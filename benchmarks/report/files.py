"""Benchmark reports as they lie on disk, of every kind, read into one shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from benchmarks.report.kinds import KINDS, Stage, kind_of, read_kind
from semlink.errors import ConfigError
from semlink.machine import MachineState

__all__ = ["BenchFile", "read_bench_file"]

_MAX_BYTES = 16 * 2**20
"""The largest report in the repository, an evaluation's, has 0.4 MB; a list of every sample is no report."""


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


def read_bench_file(path: Path) -> BenchFile:
    """Read a report of any kind in `KINDS`; fields that this version does not know are passed over.

    Raises
    ------
    ConfigError
        If it cannot be read, is not JSON, or is no report of a known kind.
    """
    content = _json_object(path)
    kind = kind_of(content)
    if kind is None:
        raise ConfigError(f"{path}: not a benchmark report; the kinds known are those of {', '.join(KINDS.values())}")
    try:
        report, settings, stages = read_kind(kind, content)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: a damaged report of {KINDS[kind]}: {error}") from None
    commit = report.commit
    return BenchFile(
        path=path,
        kind=kind,
        date=report.date,
        device=report.device,
        versions=report.versions,
        settings=settings,
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
