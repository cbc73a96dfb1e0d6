"""`semlink kb`: build, show, check and search a knowledge base."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from edge_rx.kb.manifest import read_manifest
from engines.models.model_set import ModelSet
from semlink.errors import KnowledgeBaseError
from tests.support.processes import run_semlink

pytestmark = pytest.mark.process


def test_kb_build_info_verify_search(picture_folder: Path, model_set: ModelSet, tmp_path: Path) -> None:
    kb, models = tmp_path / "KB", ["--model-set", str(model_set.folder)]

    built = run_semlink("kb", "build", picture_folder, "--out", kb, "--json", *models)
    assert built.returncode == 0, built.stderr
    report = json.loads(built.stdout)
    (entry,) = read_manifest(kb).codebooks
    assert (report["num_entries"], report["num_unlabelled"], report["skipped"]) == (12, 0, [])
    assert report["codebook"] == {
        **msgspec.structs.asdict(entry),
        "kind": entry.kind,
        "path": str(kb / entry.file),
    }
    assert (kb / entry.file).stat().st_size == report["codebook"]["num_bytes"]
    assert "WARNING" not in built.stderr

    again = run_semlink("kb", "build", picture_folder, "--out", kb, *models)
    assert again.returncode == KnowledgeBaseError.exit_code
    assert "--force" in again.stderr
    assert run_semlink("kb", "build", picture_folder, "--out", kb, "--force", *models).returncode == 0

    info = json.loads(run_semlink("kb", "info", kb, "--json").stdout)
    assert info["fingerprint"] == report["fingerprint"]
    assert (info["num_entries"], info["labels"]) == (12, {"apple": 4, "boat": 4, "cat": 4})

    found = json.loads(
        run_semlink("kb", "search", kb, picture_folder / "boat/3.png", "--top", "2", "--json", *models).stdout
    )
    assert found["matches"][0]["record"]["source"] == "boat/3.png"
    assert len(found["matches"]) == 2

    assert run_semlink("kb", "verify", kb).returncode == 0
    next((kb / "images").rglob("*.png")).unlink()
    damaged = run_semlink("kb", "verify", kb, "--json")
    assert damaged.returncode == KnowledgeBaseError.exit_code
    assert len(json.loads(damaged.stdout)["problems"]) == 1


def test_images_outside_of_the_class_folders_are_counted(
    picture_folder: Path, model_set: ModelSet, tmp_path: Path
) -> None:
    mixed = Path(shutil.copytree(picture_folder, tmp_path / "mixed"))
    for number in range(2):
        shutil.copy(mixed / f"cat/{number}.png", mixed)
    done = run_semlink("-v", "kb", "build", mixed, "--out", tmp_path / "KB", "--model-set", model_set.folder, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_unlabelled"] == 2
    assert "WARNING 2 of 14 images without a label" in done.stderr
    assert re.search(r"INFO labels are (not )?used in the codebook, which has (labels|k-means cells)", done.stderr)


@pytest.mark.parametrize("command", [["kb"], ["kb", "build"], ["kb", "info"], ["kb", "verify"], ["kb", "search"]])
def test_help_shows_how(command: list[str]) -> None:
    done = run_semlink(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
