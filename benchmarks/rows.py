"""Stages of a report from what pytest-benchmark measured, and from what a suite adds in `extra_info`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from semlink.report import Stage
from semlink.timing import LatencySummary, summarize_latency

__all__ = ["latency_fields", "row_stages"]


def latency_fields(latency: LatencySummary) -> dict[str, Any]:
    """Fields of a `Stage` that hold a latency, for `extra_info`: they replace those of the rounds."""
    fields: dict[str, Any] = msgspec.to_builtins(Stage.of("", latency))
    del fields["name"]
    return fields


def row_stages(benchmark: Mapping[str, Any]) -> Iterator[Stage]:
    """The stage that a benchmark timed, and then its parts.

    Parameters
    ----------
    benchmark : entry of pytest-benchmark's JSON; its `extra_info` has fields of a `Stage`, and under "parts" those of
        further stages by name

    Examples
    --------
    >>> benchmark = {"name": "test_decode", "stats": {"data": [0.5, 1.5]}, "extra_info": {"operations": 10}}
    >>> (stage,) = row_stages(benchmark)
    >>> stage.name, stage.p50_ms, stage.operations
    ('decode', 1000.0, 10.0)
    """
    fields = dict(benchmark["extra_info"])
    parts = fields.pop("parts", {})
    name = str(benchmark["name"]).removeprefix("test_").replace("_", " ")
    if "num_samples" not in fields:
        rounds_ms = [1e3 * duration_s for duration_s in benchmark["stats"]["data"]]
        fields |= latency_fields(summarize_latency(rounds_ms))
    fields |= {"name": name, "is_end_to_end": name.startswith("end to end")}
    yield msgspec.convert(fields, Stage)
    for part, part_fields in parts.items():
        yield msgspec.convert({**part_fields, "name": f"{name}: {part}"}, Stage)
