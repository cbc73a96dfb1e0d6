"""Studies of knowledge bases: their size and balance, and images of other domains than the training set's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.report.schemas import Point
from benchmarks.studies.context import StudyContext
from benchmarks.studies.points import THREE_SNR_DB, at, nested_codebooks, nested_link, noiseless_points, points
from trainer.datasets import open_dataset

__all__ = ["cross_domain", "kb_size"]

_MOST_PER_CATEGORY = 50


def kb_size(context: StudyContext) -> Iterator[Point]:
    """A KB with a mean of 1 to 50 images per category, balanced or with a long tail."""
    labels = np.asarray(context.cifar100.knowledge_base.labels)
    names = np.unique(labels)
    codebooks = nested_codebooks(context)
    for per_category in (1, 5, 10, 25, _MOST_PER_CATEGORY):
        # A long tail: the n-th category's share falls to a hundredth of the first's.
        shares = 0.01 ** (np.arange(len(names)) / (len(names) - 1))
        tail = np.clip(np.rint(shares * per_category * len(names) / shares.sum()), 1, _MOST_PER_CATEGORY).astype(int)
        order = np.random.default_rng(0).permutation(names)
        for balance, counts in (
            ("balanced", dict.fromkeys(names, per_category)),
            ("long tail", dict(zip(order, tail.tolist(), strict=True))),
        ):
            mean_count = sum(counts.values()) / len(counts)
            noiseless = context.noiseless(context.cifar100, kb_rows=first_rows(labels, counts))
            records = context.measure(noiseless, "nested-cells", nested_link(codebooks, noiseless), snr_db=THREE_SNR_DB)
            for record in records:
                curve = f"nested-cells, {record.snr_db:g} dB, {balance}"
                yield Point(curve, mean_count, record.seed, record.semantic_accuracy)
            yield Point(f"noiseless, {balance}", mean_count, 0, noiseless.accuracy)


def first_rows(labels: np.ndarray, counts: dict[str, int]) -> np.ndarray:
    """Rows of the first `counts[label]` images of each label, in ascending order.

    Examples
    --------
    >>> first_rows(np.array(["a", "b", "a", "a"]), {"a": 2, "b": 1}).tolist()
    [0, 1, 2]
    """
    rows = [np.flatnonzero(labels == label)[:count] for label, count in counts.items()]
    return np.sort(np.concatenate(rows))


def cross_domain(context: StudyContext) -> Iterator[Point]:
    """Codecs of CIFAR-100 at 64 symbols on images of other domains; nothing is trained again."""
    codebooks = nested_codebooks(context)
    for name in ("digits", "photos"):
        noiseless = context.noiseless(open_dataset(name, progress=context.progress))
        for snr_db in THREE_SNR_DB:
            position = f"{name}\n{snr_db:g} dB"
            yield from points(context.measure_kbsc(noiseless, snr_db=(snr_db,)), at(position))
            records = context.measure(noiseless, "nested-cells", nested_link(codebooks, noiseless), snr_db=(snr_db,))
            yield from points(records, at(position))
            yield from noiseless_points(noiseless, [position])
