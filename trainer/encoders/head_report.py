"""Comparison of heads for the built-in encoder, on categories that no head was fitted to.

For each seed, 20 of CIFAR-100's 100 categories are held out. Every candidate is fitted to the training images of the
other 80, and the test images of the held-out categories are retrieved: the first half of each category is sent, the
second half is the knowledge base. Digits are measured besides, as images of another kind. A head that needs labels is
chosen only if the 95 % interval of its gain over PCA, on the same held-out categories, is positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from rich.progress import Progress
from rich.table import Table

from engines.models.image_encoder import Features
from semlink.errors import ConfigError
from semlink.report import Report, provenance
from trainer.datasets.base import Dataset, split_by_halves
from trainer.datasets.cifar100 import find_or_fetch, open_split
from trainer.datasets.digits import open_digits
from trainer.encoders.builtin import FEATURE_DIM, HEAD, class_numbers, pooled_features
from trainer.encoders.heads import HEADS, LinearHead
from trainer.encoders.measure import retrieval_accuracy
from trainer.intervals import confidence_interval
from trainer.progress import progress_task

__all__ = ["HeadReport", "HeadScores", "best_head", "head_table", "report_heads"]

_BASELINE = "pca"
_NUM_CATEGORIES, _NUM_HELD_OUT = 100, 20


class HeadScores(msgspec.Struct, frozen=True):
    """Scores of one candidate; accuracies are in 0..1, `low` and `high` are the ends of a 95 % t interval."""

    head: str
    held_out_accuracy: list[float]
    mean: float
    low: float
    high: float
    gain_mean: float
    gain_low: float
    gain_high: float
    digits_accuracy: float


class HeadReport(Report, frozen=True, kw_only=True):
    """Report in benchmarks/results/builtin-encoder-head.json."""

    kind: Literal["encoder-head"] = "encoder-head"
    protocol: str
    heads: list[HeadScores]
    best: str
    shipped: str


def report_heads(
    *,
    seeds: Sequence[int],
    command: str,
    data_folder: Path | None = None,
    num_threads: int = 1,
    progress: Progress | None = None,
) -> HeadReport:
    """Measure every candidate of `trainer.encoders.heads.HEADS`.

    Parameters
    ----------
    seeds : of the held-out categories; at least two, for an interval
    command : command line, recorded in the report
    data_folder : see `trainer.datasets.cifar100.find_or_fetch`

    Raises
    ------
    ConfigError
        If there are fewer than two seeds.
    """
    if len(seeds) < 2:
        raise ConfigError(f"an interval needs two seeds or more, got {len(seeds)}; give --num-seeds 2")
    folder = find_or_fetch(data_folder, progress=progress)
    train, test, digits = open_split(folder, "train"), open_split(folder, "test"), open_digits()
    pooled_train, pooled_test, pooled_sent, pooled_kb = (
        pooled_features(images, num_threads=num_threads, progress=progress)
        for images in (train, test, digits.sent, digits.knowledge_base)
    )
    train_labels, test_labels = class_numbers(train), class_numbers(test)
    held_out_accuracy: dict[str, list[float]] = {name: [] for name in HEADS}
    digits_accuracy: dict[str, float] = {}
    with progress_task(progress, "fitting heads", len(HEADS) * (len(seeds) + 1)) as advance:
        for seed in seeds:
            held_out = np.random.default_rng(seed).permutation(_NUM_CATEGORIES)[:_NUM_HELD_OUT]
            is_fitted = ~np.isin(train_labels, held_out)
            tested = np.flatnonzero(np.isin(test_labels, held_out))
            dataset = split_by_halves("held-out", test.subset(tested))
            for name, fit in HEADS.items():
                head = fit(pooled_train[is_fitted], train_labels[is_fitted], FEATURE_DIM)
                held_out_accuracy[name].append(_accuracy_by_halves(dataset, test.names, pooled_test, head))
                advance(1)
        for name, fit in HEADS.items():
            head = fit(pooled_train, train_labels, FEATURE_DIM)
            digits_accuracy[name] = retrieval_accuracy(digits, head(pooled_sent), head(pooled_kb))
            advance(1)
    heads = [_scores(name, held_out_accuracy, digits_accuracy[name]) for name in HEADS]
    return HeadReport(
        **provenance(command),
        settings={"seeds": list(seeds), "feature_dim": FEATURE_DIM},
        protocol=(
            f"CIFAR-100, {_NUM_HELD_OUT} of {_NUM_CATEGORIES} categories held out of the head's fit for each seed; "
            "1-NN by cosine over their test images, per class first half sent, second half knowledge base; "
            "digits: heads fitted to all categories; intervals: 95 %, Student's t over seeds; gain: paired, over pca"
        ),
        heads=heads,
        best=best_head(heads),
        shipped=HEAD,
    )


def best_head(heads: Sequence[HeadScores]) -> str:
    """The most accurate head whose gain over PCA has a positive interval, or PCA if there is none."""
    better = [scores for scores in heads if scores.gain_low > 0]
    return max(better, key=lambda scores: scores.mean).head if better else _BASELINE


def head_table(report: HeadReport) -> Table:
    """Table of the report, a row for each head."""
    table = Table("head", "held-out 1-NN", "95 %", "gain over pca", "95 % of gain", "digits 1-NN")
    for scores in report.heads:
        table.add_row(
            scores.head + (" (best)" if scores.head == report.best else ""),
            f"{scores.mean:.4f}",
            f"{scores.low:.4f} .. {scores.high:.4f}",
            f"{scores.gain_mean:+.4f}",
            f"{scores.gain_low:+.4f} .. {scores.gain_high:+.4f}",
            f"{scores.digits_accuracy:.4f}",
        )
    return table


def _accuracy_by_halves(dataset: Dataset, names: Sequence[str], pooled: Features, head: LinearHead) -> float:
    row_of = {name: row for row, name in enumerate(names)}
    sent, knowledge_base = (
        head(pooled[[row_of[name] for name in images.names]]) for images in (dataset.sent, dataset.knowledge_base)
    )
    return retrieval_accuracy(dataset, sent, knowledge_base)


def _scores(name: str, held_out_accuracy: dict[str, list[float]], digits_accuracy: float) -> HeadScores:
    values = held_out_accuracy[name]
    gains = np.subtract(values, held_out_accuracy[_BASELINE]).tolist()
    gain = confidence_interval(gains)
    return HeadScores(
        head=name,
        held_out_accuracy=values,
        **asdict(confidence_interval(values)),
        gain_mean=gain.mean,
        gain_low=gain.low,
        gain_high=gain.high,
        digits_accuracy=digits_accuracy,
    )
