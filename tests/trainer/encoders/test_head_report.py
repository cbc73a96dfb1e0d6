"""The comparison of heads on held-out categories."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from rich.console import Console

from semlink.errors import ConfigError
from trainer.datasets import ImageList
from trainer.encoders import builtin, head_report
from trainer.encoders.head_report import HeadScores, best_head, head_table, report_heads

NUM_CLASSES, POOLED_DIM = 100, 24


def scores_of(head: str, mean: float, gain_low: float) -> HeadScores:
    return HeadScores(head, [mean], mean, mean, mean, gain_low, gain_low, gain_low, 0.0)


def make_list(name: str, per_class: int) -> ImageList:
    labels = [f"class{number:02}" for number in range(NUM_CLASSES) for _ in range(per_class)]
    names = [f"{name}-{index}" for index in range(len(labels))]
    return ImageList(tuple(names), tuple(labels), lambda index: np.zeros((1, 1, 3), np.uint8), name)


def noisy_class_means(seed: int) -> Callable[..., np.ndarray]:
    """In place of a backbone: pooled features that are the mean of an image's class, with noise."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(NUM_CLASSES, POOLED_DIM))

    def pooled_features(images: ImageList, **options: object) -> np.ndarray:
        numbers = builtin.class_numbers(images)
        return (means[numbers] + 0.7 * rng.normal(size=(len(images), POOLED_DIM))).astype(np.float32)

    return pooled_features


def test_every_candidate_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_report, "find_or_fetch", lambda folder, progress: folder)
    monkeypatch.setattr(
        head_report, "open_split", lambda folder, split: make_list(split, 30 if split == "train" else 6)
    )
    monkeypatch.setattr(head_report, "pooled_features", noisy_class_means(0))
    monkeypatch.setattr(head_report, "FEATURE_DIM", 12)
    report = report_heads(seeds=range(3), command="semlink train encoder report-head")
    assert report.settings["seeds"] == [0, 1, 2]
    assert report.best in [scores.head for scores in report.heads]
    assert {"numpy", "torch"} <= set(report.versions)
    for scores in report.heads:
        assert scores.low <= scores.mean <= scores.high
        assert scores.mean == pytest.approx(np.mean(scores.held_out_accuracy))
        assert scores.mean > 0.2
    console = Console(width=200, record=True, quiet=False, file=None)
    with console.capture() as printed:
        console.print(head_table(report))
    assert f"{report.best} (best)" in printed.get()


def test_an_interval_needs_two_seeds() -> None:
    with pytest.raises(ConfigError, match=r"two seeds or more, got 1; give --num-seeds 2"):
        report_heads(seeds=[0], command="")


def test_the_best_head_beats_pca_with_its_whole_interval() -> None:
    pca = scores_of("pca", 0.7, 0.0)
    assert best_head([pca, scores_of("lucky", 0.9, -0.01)]) == "pca"
    assert best_head([pca, scores_of("better", 0.72, 0.01), scores_of("good", 0.71, 0.02)]) == "better"
