"""The tables of docs/engines.md, from the report of `make bench-int8`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

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
            str(stage.notes["weights"]): f"{stage.notes['least_ms']:.1f}"
            for stage in report.stages
            if (stage.notes["encoder"], stage.notes["threads"]) == (encoder, 1)
        }
        parts += [
            f"{encoder[0].upper()}{encoder[1:]}; cosine of features with fp32's, mean and least; least ms on one"
            " thread:\n",
            _table(rows, lambda row: f"{row.feature_cosine:.4f}, {row.feature_cosine_least:.4f}", times),
        ]
        if all(row.symbol_cosine is not None for row in rows):
            parts += [
                "Cosine of symbols with fp32's, and share of images whose nearest of others is fp32's:\n",
                _table(rows, lambda row: f"{row.symbol_cosine:.3f}, {row.same_nearest:.2f}"),
            ]
    return "\n".join(parts)


def _table(
    rows: Sequence[Int8Agreement],
    cell: Callable[[Int8Agreement], str],
    times: dict[str, str] | None = None,
) -> str:
    names = list(dict.fromkeys(row.images for row in rows))
    titles = ["weights", "processor", "images", "same bits", *names, *(["ms"] if times else [])]
    lines = [f"| {' | '.join(titles)} |", f"|---|---|{'---:|' * (len(titles) - 2)}"]
    for weights, processor in dict.fromkeys((row.weights, row.processor) for row in rows):
        chosen = [row for row in rows if (row.weights, row.processor) == (weights, processor)]
        same = f"{np.mean([row.same_features for row in chosen]):.2f}" if processor == EMULATED else ""
        took = ["" if processor == EMULATED else times[weights]] if times else []
        cells = [weights, processor.partition(",")[0], str(chosen[0].num_images), same, *map(cell, chosen), *took]
        lines.append(f"| {' | '.join(cells)} |")
    if times:
        lines.append(f"| {' | '.join(['fp32', '', '', '', *('' for _ in names), times['fp32']])} |")
    return "\n".join(lines) + "\n"
