"""One run of the three processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engines.models.model_set import ModelSet
from semlink.errors import ResultsError
from trainer.demo.config import LinkSettings
from trainer.demo.link import run_link
from trainer.demo.processes import CommandFailedError


@pytest.fixture
def image_list(picture_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "sent.txt"
    path.write_text("".join(f"{picture}\n" for picture in sorted(picture_folder.rglob("*.png"))) * 20)
    return path


@pytest.mark.process
def test_every_image_is_sent_and_received(
    image_list: Path, demo_kb: Path, tmp_path: Path, model_set: ModelSet, settings: Callable[..., LinkSettings]
) -> None:
    synthetic = settings(model_set=str(model_set.folder), codec="synthetic-codec", num_pilots=2, snr_db=-3.0)
    run = run_link(image_list, demo_kb, tmp_path / "run", synthetic)
    assert run.receiver["frames_received"] == run.channel["frames_forwarded"] == 240
    assert len(run.sent_log.read_bytes().splitlines()) == 240
    assert len(run.results_log.read_bytes().splitlines()) == 240
    for summary in (run.receiver, run.channel, run.transmitter):
        assert summary["stage_latency_ms"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.process
def test_the_first_failure_is_reported(
    image_list: Path, demo_kb: Path, tmp_path: Path, model_set: ModelSet, settings: Callable[..., LinkSettings]
) -> None:
    """A receiver whose disk is full fails first; transmitter and channel would wait for it, and then fail too."""
    results = tmp_path / "run" / "results"
    results.mkdir(parents=True)
    (results / "results.jsonl").symlink_to("/dev/full")
    synthetic = settings(model_set=str(model_set.folder), codec="synthetic-codec")
    with pytest.raises(CommandFailedError, match="semlink rx failed") as failure:
        run_link(image_list, demo_kb, tmp_path / "run", synthetic)
    assert failure.value.exit_code == ResultsError.exit_code
