"""Runs of the three processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from engines.models.model_set import ModelSet
from semlink.errors import ResultsError
from semlink.rates import parse_rate
from trainer.demo.config import LinkSettings
from trainer.demo.link import Link, ResultLines
from trainer.demo.processes import CommandFailedError


@pytest.fixture
def image_list(picture_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "sent.txt"
    path.write_text("".join(f"{picture}\n" for picture in sorted(picture_folder.rglob("*.png"))) * 20)
    return path


@pytest.fixture
def link(demo_kb: Path, tmp_path: Path, model_set: ModelSet) -> Iterator[Link]:
    rates = (parse_rate("16"), parse_rate("64"))
    with Link(demo_kb, tmp_path / "results", model_set=str(model_set.folder), rates=rates) as started:
        yield started


@pytest.fixture
def synthetic(model_set: ModelSet, settings: Callable[..., LinkSettings]) -> Callable[..., LinkSettings]:
    return partial(settings, model_set=str(model_set.folder), codec="synthetic-codec")


@pytest.mark.process
def test_one_receiver_answers_run_after_run(
    image_list: Path, link: Link, tmp_path: Path, synthetic: Callable[..., LinkSettings]
) -> None:
    first = link.run(image_list, tmp_path / "first", synthetic(num_pilots=2, snr_db=-3.0))
    second = link.run(image_list, tmp_path / "second", synthetic(rate=parse_rate("16")))
    assert first.stream_id != second.stream_id
    for run in (first, second):
        assert run.channel["frames_forwarded"] == len(run.sent) == len(run.results) == 240
        assert {result["stream_id"] for result in run.results} == {run.stream_id}
        assert run.transmitter["stage_latency_ms"]
        assert run.channel["stage_latency_ms"]
    assert {result["num_symbols"] for result in second.results} == {16}
    received = link.stop()
    assert received.keys() == {first.stream_id, second.stream_id}
    assert all((count.received, count.duplicated, count.lost) == (240, 0, 0) for count in received.values())


@pytest.mark.process
def test_images_that_cannot_be_read_are_an_error_and_the_receiver_goes_on(
    image_list: Path, link: Link, tmp_path: Path, synthetic: Callable[..., LinkSettings]
) -> None:
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'damaged.png'}\n")
    with pytest.raises(CommandFailedError, match="none of 1 images could be read"):
        link.run(tmp_path / "list.txt", tmp_path / "run", synthetic())
    assert len(link.run(image_list, tmp_path / "second", synthetic()).results) == 240


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.process
def test_the_first_failure_is_reported(
    image_list: Path, demo_kb: Path, tmp_path: Path, synthetic: Callable[..., LinkSettings]
) -> None:
    """A receiver whose disk is full fails first; transmitter and channel would wait for it, and then fail too."""
    results = tmp_path / "results"
    results.mkdir(parents=True)
    (results / "results.jsonl").symlink_to("/dev/full")
    run = synthetic()
    with (
        Link(demo_kb, results, model_set=run.model_set, rates=(run.rate,)) as link,
        pytest.raises(CommandFailedError, match="semlink rx failed") as failure,
    ):
        link.run(image_list, tmp_path / "run", run)
    assert failure.value.exit_code == ResultsError.exit_code


def test_results_are_read_line_by_line_while_the_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    lines = ResultLines(path)
    assert lines.of("a") == []
    path.write_bytes(b'{"stream_id":"a","n":1}\n{"stream_id":"b"')
    assert (lines.of("a"), lines.of("b")) == ([{"stream_id": "a", "n": 1}], [])
    with path.open("ab") as file:
        file.write(b',"n":2}\n{"stream_id":"a","n":3}\n')
    assert [result["n"] for result in lines.of("a")] == [1, 3]
    assert [result["n"] for result in lines.of("b")] == [2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_without_end_is_read_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.symlink_to("/dev/full")
    assert ResultLines(path).of("a") == []
