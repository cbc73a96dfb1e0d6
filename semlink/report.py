"""Reports of measurements: JSON files with one header for every kind.

`Report` is that header and the stages that were timed. A kind that has other results subclasses it, adds its fields,
and fixes `kind`.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypedDict, TypeVar

import msgspec

from semlink.errors import ConfigError, ResultsError
from semlink.files import replaced_file, write_json
from semlink.machine import MachineState, describe_device, installed_versions, machine_state, now_utc
from semlink.timing import LatencySummary

__all__ = [
    "Provenance",
    "Report",
    "Scalar",
    "Setting",
    "Stage",
    "checkout_commit",
    "decode_report",
    "provenance",
    "read_report",
    "read_report_bytes",
    "require_writable",
    "write_report",
    "writing_results",
]

Scalar: TypeAlias = str | int | float | bool
Setting: TypeAlias = Scalar | list[Scalar] | None

_MAX_BYTES = 16 * 2**20
"""The largest report in the repository, an evaluation's, has 0.4 MB; a list of every sample is no report."""
_ROOT = Path(__file__).resolve().parents[1]
_GIT_TIMEOUT_S = 10.0
_NEVER_MEASURED = (":(exclude)benchmarks/results", ":(exclude)docs")
"""Folders into which reports and their pages are written: a change there is none of what the next report measures."""


class Stage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Latency of one stage, in milliseconds of host wall clock unless `notes` name another clock.

    Attributes
    ----------
    num_samples : number of calls
    mean_ms, p50_ms, p95_ms, p99_ms, p999_ms, max_ms : None if there is no sample, or too few for a percentile
    is_end_to_end : whether the stage spans others, such as an image in memory to its match in memory
    bytes_moved, operations : least memory traffic [bytes] and arithmetic of one call, where its author counted them
    memory_mb : memory [MB] by what holds it
    notes : other facts by name
    """

    name: str
    num_samples: int
    mean_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    max_ms: float | None = None
    is_end_to_end: bool = False
    bytes_moved: float | None = None
    operations: float | None = None
    memory_mb: dict[str, float] = {}
    notes: dict[str, Scalar] = {}

    @classmethod
    def of(
        cls,
        name: str,
        latency: LatencySummary,
        *,
        is_end_to_end: bool = False,
        notes: dict[str, Scalar] | None = None,
    ) -> Stage:
        """Take over a summary; its NaN of an empty sample is None here.

        Examples
        --------
        >>> from semlink.timing import summarize_latency
        >>> Stage.of("decode", summarize_latency([1.0, 3.0])).p50_ms
        2.0
        """
        mean, p50, p95, p99, p999 = (
            None if math.isnan(value) else value
            for value in (latency.mean, latency.p50, latency.p95, latency.p99, latency.p999)
        )
        return cls(
            name=name,
            num_samples=latency.num_samples,
            mean_ms=mean,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            p999_ms=p999,
            is_end_to_end=is_end_to_end,
            notes=notes or {},
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Header of every report, and the stages that it timed.

    Attributes
    ----------
    kind : name of the schema, such as "latency" or "evaluation"
    command : the command line that made the report
    made_at : date and time in ISO 8601, UTC
    device : processor, or GPU, that the figures are of
    versions : version by package, of those that a figure can depend on
    machine_state : clocks and power mode right after the measurement; None if they were not recorded
    commit : of semlink's checkout, followed by "+dirty" if tracked files were changed; None outside a checkout
    settings : options that a figure can depend on, by name
    note : remark for whoever reads the figures
    """

    kind: str
    command: str
    made_at: str
    device: str
    versions: dict[str, str]
    machine_state: MachineState | None
    commit: str | None
    note: str | None = None
    settings: dict[str, Setting] = {}
    stages: list[Stage] = []


class Provenance(TypedDict):
    """Fields of a report that say when, where and with what it was made."""

    command: str
    made_at: str
    device: str
    versions: dict[str, str]
    machine_state: MachineState | None
    commit: str | None


def provenance(command: str) -> Provenance:
    """Collect the header of a report; call it right after the measurement, while clocks are still its own.

    Examples
    --------
    >>> report = Report(kind="latency", **provenance("make bench"))
    >>> report.versions["semlink"] == __import__("semlink").__version__
    True
    """
    return {
        "command": command,
        "made_at": now_utc(),
        "device": describe_device(),
        "versions": installed_versions(),
        "machine_state": machine_state(),
        "commit": checkout_commit(),
    }


def checkout_commit(root: Path = _ROOT) -> str | None:
    """Commit of the git checkout whose top folder is `root`.

    Returns
    -------
    commit : 40 hex digits, and "+dirty" if a tracked file was changed; None if `root` is no checkout, such as an
        installed copy of semlink, or git is not installed. Changes in docs/ and benchmarks/results/ do not count.
    """
    try:
        top = _git(root, "rev-parse", "--show-toplevel")
        if Path(top) != root.resolve():
            return None  # a checkout of something else that semlink was copied into
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *_NEVER_MEASURED)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+dirty" if changes else commit


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=_GIT_TIMEOUT_S
    )
    return done.stdout.strip()


AnyReport = TypeVar("AnyReport", bound=Report)


def read_report(path: Path, report_type: type[AnyReport]) -> AnyReport:
    """Read a report; `Report` itself reads the header and the stages of every kind.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not JSON, or is no report of the kind.
    """
    return decode_report(path, read_report_bytes(path), report_type)


def read_report_bytes(path: Path) -> bytes:
    """Read a report's file once, as a pipe allows; ConfigError if it cannot be read or is over the limit."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path}: over {_MAX_BYTES // 2**20} MiB, which no report has")
    return data


def decode_report(path: Path, data: bytes, report_type: type[AnyReport]) -> AnyReport:
    """Decode a report's bytes, as `read_report`; `path` is for messages."""
    try:
        return msgspec.json.decode(data, type=report_type)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: not a report, or one of another kind or version: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON, or cut short: {error}") from None


@contextmanager
def writing_results(path: Path) -> Iterator[None]:
    """Make the folder of a file of results, and name the file in a ResultsError if the block cannot write it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None


def require_writable(path: Path) -> None:
    """Refuse a path where no report can be written; makes its folder.

    Raises
    ------
    ResultsError
        If the folder cannot be made or written.
    """
    check = path.with_name(f"{path.name}.check")
    with writing_results(path):
        with replaced_file(check) as temporary:
            temporary.touch()
        check.unlink()


def write_report(report: Report, path: Path) -> None:
    """Write a report as indented JSON, whole or not at all.

    Raises
    ------
    ResultsError
        If the file cannot be written.
    """
    with writing_results(path):
        write_json(path, report)
