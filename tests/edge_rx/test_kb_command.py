"""`semlink kb`: build, show, check and search a knowledge base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.models.model_set import ModelSet
from semlink.errors import KnowledgeBaseError
from tests.support.processes import run_semlink

pytestmark = pytest.mark.process


def test_kb_build_info_verify_search(picture_folder: Path, model_set: ModelSet, tmp_path: Path) -> None:
    kb, models = tmp_path / "KB", ["--model-set", str(model_set.folder)]

    built = run_semlink("kb", "build", picture_folder, "--out", kb, "--json", *models)
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout) == {"num_entries": 12, "skipped": []}

    again = run_semlink("kb", "build", picture_folder, "--out", kb, *models)
    assert again.returncode == KnowledgeBaseError.exit_code
    assert "--force" in again.stderr
    assert run_semlink("kb", "build", picture_folder, "--out", kb, "--force", *models).returncode == 0

    info = json.loads(run_semlink("kb", "info", kb, "--json").stdout)
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


@pytest.mark.parametrize("command", [["kb"], ["kb", "build"], ["kb", "info"], ["kb", "verify"], ["kb", "search"]])
def test_help_shows_how(command: list[str]) -> None:
    done = run_semlink(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
