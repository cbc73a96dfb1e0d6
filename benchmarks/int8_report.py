"""The tables of docs/engines.md, from the report of `make bench-int8`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.report.schemas import Int8Agreement, Int8Report

__all__ = ["EMULATED", "as_markdown"]

EMULATED = "x86_64 AVX2, by qemu-x86_64 -cpu Haswell"
"""Its arithmetic is that of the processor, its time is not."""


def as_markdown(report: Int8Report) -> str:
    """One table of features and times for each encoder, and one of symbols where it has them."""
    parts = []
    for encoder in dict.fromkeys(row.encoder for row in report.rows):
        rows = [row for row in report.rows if row.encoder == encoder]
        times = {
            stage.name.rpartition(": ")[2]: f"{stage.p50_ms:.1f}"
            for stage in report.stages
            if stage.name.startswith(f"{encoder}: ")
        }
        parts += [
            f"{encoder[0].upper()}{encoder[1:]}; cosine of features with fp32's, mean and least:\n",
            _table(rows, lambda row: f"{row.feature_cosine:.4f}, {row.feature_cosine_least:.3f}", times),
        ]
        if all(row.symbol_cosine is not None for row in rows):
            parts += [
                "Cosine of symbols with fp32's, and share of images whose nearest of 200 others is fp32's:\n",
                _table(rows, lambda row: f"{row.symbol_cosine:.3f}, {row.same_nearest:.2f}"),
            ]
    return "\n".join(parts)


def _table(
    rows: Sequence[Int8Agreement], cell: Callable[[Int8Agreement], str], times: dict[str, str] | None = None
) -> str:
    names = list(dict.fromkeys(row.images for row in rows))
    lines = [
        f"| weights | processor | {' | '.join(names)} |{' ms |' if times else ''}",
        f"|---|---|{'---:|' * (len(names) + bool(times))}",
    ]
    for weights, processor in dict.fromkeys((row.weights, row.processor) for row in rows):
        cells = [cell(row) for row in rows if (row.weights, row.processor) == (weights, processor)]
        took = [] if times is None else ["" if processor == EMULATED else times[weights]]
        lines.append(f"| {' | '.join([weights, processor.partition(',')[0], *cells, *took])} |")
    if times:
        lines.append(f"| fp32 | | {'| ' * len(names)}{times['fp32']} |")
    return "\n".join(lines) + "\n"
