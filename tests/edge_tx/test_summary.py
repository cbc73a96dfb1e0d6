"""The summary of a transmitter has what was sent, as JSON and as a table."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from edge_tx.sources import SkippedImages
from edge_tx.summary import TransmitterSummary, print_summary
from engines.models.model_set import ModelSet
from semlink.cli.output import print_json
from semlink.errors import ImageError
from semlink.image import LoadedImage, RGBImage
from semlink.rates import parse_rate


@pytest.fixture
def transmitter(model_set: ModelSet, pictures: dict[str, RGBImage]) -> Transmitter:
    rate = parse_rate("16")
    transmitter = Transmitter(load_transmitter_model(model_set, rate), rate, lambda data: None)
    for pixels in pictures.values():
        transmitter.run_once(LoadedImage(pixels, *pixels.shape[:2]))
    return transmitter


@pytest.fixture
def summary(transmitter: Transmitter) -> TransmitterSummary:
    skipped = SkippedImages()
    skipped.add(ImageError("broken.jpg: cannot be read"))
    return TransmitterSummary.of(
        transmitter, skipped, interrupted=True, duration_s=4.0, chunks_rejected={"truncated chunk": 2}
    )


def test_counts_and_rates(summary: TransmitterSummary, transmitter: Transmitter) -> None:
    assert summary.stream == f"{transmitter.stream_id:016x}"
    assert (summary.images_sent, summary.throughput_images_s, summary.interrupted) == (12, 3.0, True)
    assert summary.chunks_rejected == {"truncated chunk": 2}
    assert (summary.images_skipped, summary.skipped) == (1, ["broken.jpg: cannot be read"])
    assert {latency.num_samples for latency in summary.stage_latency_ms.values()} == {12}


def test_a_run_without_duration_has_no_throughput(transmitter: Transmitter) -> None:
    summary = TransmitterSummary.of(transmitter, SkippedImages(), interrupted=False, duration_s=0.0)
    assert summary.throughput_images_s == 0.0


def test_json_is_one_line_that_holds_it_all(summary: TransmitterSummary, capsys: pytest.CaptureFixture[str]) -> None:
    print_json(summary)
    (line,) = capsys.readouterr().out.splitlines()
    assert msgspec.json.decode(line, type=TransmitterSummary) == summary


def test_table_for_people(summary: TransmitterSummary) -> None:
    out = io.StringIO()
    print_summary(summary, console=Console(file=out, width=100))
    text = out.getvalue()
    for words in (
        "images sent",
        "images sent with synthetic-codec",
        "images sent in 16 symbols",
        "images skipped",
        "chunks rejected, truncated chunk",
        "preprocess",
    ):
        assert words in text
