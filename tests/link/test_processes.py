"""Both ends as processes over sockets: reports, falling back, and options that do not fit together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from PIL import Image

from edge_rx.kb import KnowledgeBase
from engines.models.model_set import ModelSet
from tests.support.link import RATE
from tests.support.processes import run_semlink, start_semlink

pytestmark = pytest.mark.process


def output_of(*arguments: object) -> str:
    done = run_semlink(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_index_over_sockets_falls_back_when_the_knowledge_base_changes(
    models: ModelSet, picture_folder: Path, tmp_path: Path
) -> None:
    """Keys are exported, used, and refused by the transmitter itself after the knowledge base was built again."""
    pictures = Path(shutil.copytree(picture_folder, tmp_path / "pictures"))
    folder, keys = tmp_path / "KB", tmp_path / "keys.npz"
    model_set = ("--model-set", models.folder)
    output_of("kb", "build", pictures, "--out", folder, *model_set)
    exported = json.loads(output_of("kb", "export-entries", folder, "--out", keys, *model_set, "--json"))
    assert (exported["num_entries"], exported["decides_label"]) == (12, True)
    nearest = output_of("kb", "export-entries", folder, "--out", keys, *model_set, "--answer", "nearest", "--json")
    assert not json.loads(nearest)["decides_label"]
    blind = ("--codec", "synthetic-codec", "--rate", RATE.num_symbols, "--pilots", 1)
    refused = run_semlink("tx", pictures, *model_set, *blind, "--entries", keys, "--feedback", "tcp://127.0.0.1:1")
    assert refused.returncode == 2, "said now, not in the midst of a stream"
    assert "with index send none" in refused.stderr
    for expected in ("index", "nested"):
        results = tmp_path / f"results-{expected}"
        listening = ("--listen", "tcp://127.0.0.1:*", "--feedback", "tcp://127.0.0.1:*", "--results", results)
        with start_semlink("rx", "--kb", folder, *model_set, *listening, "--until-end", "--json") as rx:
            endpoint, feedback = rx.read_endpoints()
            where = ("--connect", endpoint, "--feedback", feedback)
            sent = json.loads(
                output_of("tx", pictures, *model_set, "--codec", "nested", "--entries", keys, *where, "--json")
            )
            received = rx.finish()
        assert received.returncode == 0, received.stderr
        assert json.loads(received.stdout)["frames_rejected"] == {}
        assert set(sent["sent_by_codec"]) == {expected}, "the first image waits for a report"
        Image.new("RGB", (9, 9), (9, 200, 30)).save(pictures / "apple" / "new.png")
        output_of("kb", "build", pictures, "--out", folder, *model_set, "--force")


def test_power_by_reports_over_sockets(
    high_snr_models: ModelSet, high_snr_kb: KnowledgeBase, picture_folder: Path, tmp_path: Path
) -> None:
    """The first image goes out blind; once the receiver has reported that nothing is lost, the others do not."""
    listening = ("--listen", "tcp://127.0.0.1:*", "--feedback", "tcp://127.0.0.1:*", "--results", tmp_path / "results")
    model_set = ("--model-set", high_snr_models.folder)
    with start_semlink("rx", "--kb", tmp_path / "KB", *model_set, *listening, "--until-end", "--json") as rx:
        endpoint, feedback = rx.read_endpoints()
        where = ("--connect", endpoint, "--feedback", feedback)
        sent = json.loads(
            output_of("tx", picture_folder, *model_set, "--codec", "nested-cells", *where, "--fps", 8, "--json")
        )
        received = rx.finish()
    assert received.returncode == 0, received.stderr
    assert json.loads(received.stdout)["frames_rejected"] == {}
    assert json.loads(received.stdout)["matches"] == 12
    assert sent["sent_by_codec"]["nested-cells"] >= 1
    assert sent["sent_by_codec"]["nested-cells-high-snr"] >= 3
    lines = (tmp_path / "results" / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["codec"] for line in lines} == {"nested-cells", "nested-cells-high-snr"}


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--rate", "auto"), "name their address with --feedback", 2),
        (("--codec", "vq"), "has no codec vq; it has:", 2),
        (("--codec", "nested", "--entries", "nowhere.npz"), "is what to fall back to", 2),
        (("--codec", "nested", "--pilots", "1"), "send none, or at least 2", 2),
        (("--rate", "auto", "--feedback", "tcp://127.0.0.1:1"), "needs one code for all rates", 2),
        (("--entries", "nowhere.npz"), "nowhere.npz: No such file", 5),
        (("--feedback", "udp://x"), "endpoint must start with tcp://", 2),
    ],
)
def test_what_a_transmitter_cannot_do_is_one_line(
    models: ModelSet, picture_folder: Path, arguments: tuple[str, ...], words: str, code: int
) -> None:
    done = run_semlink("tx", picture_folder, "--model-set", models.folder, *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
