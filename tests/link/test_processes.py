"""Both ends as processes over sockets: reports, falling back, and options that do not fit together."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from PIL import Image

from edge_rx.kb import KnowledgeBase
from engines.models.model_set import ModelSet
from tests.support.deadlines import DEADLINE_S
from tests.support.link import RATE


def semlink(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "semlink", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(*arguments: object) -> str:
    with semlink(*arguments) as process:
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    return output


def test_index_over_sockets_falls_back_when_the_knowledge_base_changes(
    models: ModelSet, picture_folder: Path, tmp_path: Path
) -> None:
    """Keys are exported, used, and refused by the transmitter itself after the knowledge base was built again."""
    pictures = Path(shutil.copytree(picture_folder, tmp_path / "pictures"))
    folder, keys = tmp_path / "KB", tmp_path / "keys.npz"
    model_set = ("--model-set", models.folder)
    done("kb", "build", pictures, "--out", folder, *model_set)
    exported = json.loads(done("kb", "export-entries", folder, "--out", keys, *model_set, "--json"))
    assert exported["num_entries"] == 12
    blind = ("--codec", "synthetic-codec", "--rate", RATE.num_symbols, "--pilots", 1)
    with semlink("tx", pictures, *model_set, *blind, "--entries", keys, "--feedback", "tcp://127.0.0.1:1") as process:
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, "with index send none" in errors) == (2, True), "said now, not in the midst of a stream"
    for expected in ("index", "nested"):
        results = tmp_path / f"results-{expected}"
        listening = ("--listen", "tcp://127.0.0.1:*", "--feedback", "tcp://127.0.0.1:*", "--results", results)
        with semlink("rx", "--kb", folder, *model_set, *listening, "--until-end", "--json") as rx:
            assert rx.stderr is not None
            words = rx.stderr.readline().split()
            endpoints = [word.strip(",;") for word in words if word.startswith("tcp://")]
            where = ("--connect", endpoints[0], "--feedback", endpoints[1])
            sent = json.loads(
                done("tx", pictures, *model_set, "--codec", "nested", "--entries", keys, *where, "--json")
            )
            output, errors = rx.communicate(timeout=DEADLINE_S)
        assert rx.returncode == 0, errors
        assert json.loads(output)["frames_rejected"] == {}
        assert set(sent["sent_by_codec"]) == {expected}, "the first image waits for a report"
        Image.new("RGB", (9, 9), (9, 200, 30)).save(pictures / "apple" / "new.png")
        done("kb", "build", pictures, "--out", folder, *model_set, "--force")


def test_power_by_reports_over_sockets(
    high_snr_models: ModelSet, high_snr_kb: KnowledgeBase, picture_folder: Path, tmp_path: Path
) -> None:
    """The first image goes out blind; once the receiver has reported that nothing is lost, the others do not."""
    listening = ("--listen", "tcp://127.0.0.1:*", "--feedback", "tcp://127.0.0.1:*", "--results", tmp_path / "results")
    model_set = ("--model-set", high_snr_models.folder)
    with semlink("rx", "--kb", tmp_path / "KB", *model_set, *listening, "--until-end", "--json") as rx:
        assert rx.stderr is not None
        endpoints = [word.strip(",;") for word in rx.stderr.readline().split() if word.startswith("tcp://")]
        where = ("--connect", endpoints[0], "--feedback", endpoints[1])
        sent = json.loads(done("tx", picture_folder, *model_set, "--codec", "nested", *where, "--fps", 8, "--json"))
        output, errors = rx.communicate(timeout=DEADLINE_S)
    assert rx.returncode == 0, errors
    assert json.loads(output)["frames_rejected"] == {}
    assert json.loads(output)["matches"] == 12
    assert sent["sent_by_codec"]["nested"] >= 1
    assert sent["sent_by_codec"]["nested-high-snr"] >= 3
    lines = (tmp_path / "results" / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["codec"] for line in lines} == {"nested", "nested-high-snr"}


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
    with semlink("tx", picture_folder, "--model-set", models.folder, *arguments) as process:
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code
    assert words in errors
    assert len(errors.strip().splitlines()) == 1
