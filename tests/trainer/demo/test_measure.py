"""Figures of a run, computed from its logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_rx.summary import StreamSummary
from trainer.demo.config import LinkSettings
from trainer.demo.link import LinkRun
from trainer.demo.measure import measure_cell, pooled_latency, read_retrievals
from trainer.intervals import proportion_interval


@pytest.fixture
def labels(picture_folder: Path) -> dict[str, str]:
    return {str(path): path.parent.name for path in picture_folder.rglob("*.png")}


def test_results_are_joined_with_what_was_sent(logged_run: Callable[..., LinkRun], labels: dict[str, str]) -> None:
    found = read_retrievals(logged_run(num_incorrect=2), labels)
    assert [retrieval.is_correct for retrieval in found] == [False] * 2 + [True] * 10
    assert all(labels[retrieval.sent_name] == retrieval.sent_label for retrieval in found)
    assert (found[5].entry_id, found[5].confidence, found[5].latency_ms) == (5, 0.9, 5.0)


def test_a_lost_frame_counts_as_incorrect(
    logged_run: Callable[..., LinkRun],
    labels: dict[str, str],
    settings: Callable[..., LinkSettings],
    counted: Callable[..., StreamSummary],
) -> None:
    run = logged_run(num_lost=3, num_incorrect=1)
    cell = measure_cell(run, read_retrievals(run, labels), settings(), counted(run, num_duplicated=2))
    assert (cell.images_sent, cell.frames_received, cell.frames_lost, cell.frames_duplicated) == (12, 9, 3, 2)
    interval = proportion_interval(8, 12)
    assert (cell.semantic_accuracy, cell.semantic_accuracy_low) == (interval.mean, interval.low)
    assert cell.semantic_accuracy_high == interval.high


def test_throughput_is_from_the_first_image_to_the_last_match(
    logged_run: Callable[..., LinkRun],
    labels: dict[str, str],
    settings: Callable[..., LinkSettings],
    counted: Callable[..., StreamSummary],
) -> None:
    run = logged_run(latency_ms=10.0)
    cell = measure_cell(run, read_retrievals(run, labels), settings(codec="kbsc"), counted(run))
    assert cell.throughput_images_s == pytest.approx(12 / 0.120)
    assert (cell.codec, cell.rate, cell.num_symbols) == ("kbsc", "1/48", 64)
    assert (cell.payload_cbr, cell.total_cbr) == (0.5, 0.75)
    assert cell.latency_ms.p50 == 10.0
    assert {"tx encode", "channel channel", "rx search"} == cell.stage_latency_ms.keys()
    assert cell.stage_latency_ms["rx search"].p50 == 5.5


def test_a_run_of_which_nothing_was_received(
    logged_run: Callable[..., LinkRun], settings: Callable[..., LinkSettings]
) -> None:
    cell = measure_cell(logged_run(num_lost=12), [], settings(), None)
    assert (cell.frames_received, cell.frames_lost, cell.semantic_accuracy) == (0, 12, 0.0)
    assert cell.latency_ms.num_samples == 0


def test_latency_of_several_runs_is_pooled(logged_run: Callable[..., LinkRun], labels: dict[str, str]) -> None:
    fast, slow = (read_retrievals(logged_run(latency_ms=value), labels) for value in (1.0, 3.0))
    summary = pooled_latency([*fast, *slow])
    assert (summary.num_samples, summary.mean) == (24, 2.0)
