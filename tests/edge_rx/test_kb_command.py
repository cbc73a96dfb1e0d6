"""`semlink kb`: build, show, check and search a knowledge base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
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


def test_codebooks(picture_folder: Path, model_set: ModelSet, tmp_path: Path) -> None:
    kb, models = tmp_path / "KB", ["--model-set", str(model_set.folder)]
    assert run_semlink("kb", "build", picture_folder, "--out", kb, *models).returncode == 0
    (entry,) = json.loads(run_semlink("kb", "info", kb, "--json").stdout)["codebooks"]
    shown = run_semlink("kb", "info", kb).stdout
    assert entry["sha256"][:12] in shown

    exported = run_semlink("kb", "export-codebook", kb, "--out", tmp_path / "codebook.npz")
    assert exported.returncode == 0, exported.stderr
    assert f"{entry['num_cells']} " in exported.stdout
    codebook = KnowledgeBaseCodebook.load(tmp_path / "codebook.npz")
    assert codebook.sha256 == entry["sha256"]
    assert codebook.encoder_fingerprint == model_set.encoder_fingerprint

    assert run_semlink("kb", "build", picture_folder / "cat", "--out", kb, "--force", *models).returncode == 0
    newest, earlier = json.loads(run_semlink("kb", "info", kb, "--json").stdout)["codebooks"]
    assert earlier == entry
    (kb / newest["file"]).write_bytes(b"no codebook")
    for command in (["export-codebook", kb, "--out", tmp_path / "codebook.npz"], ["verify", kb]):
        damaged = run_semlink("kb", *command)
        assert damaged.returncode == KnowledgeBaseError.exit_code
        assert f"semlink kb make-codebook {kb}" in damaged.stdout + damaged.stderr

    made = run_semlink("kb", "make-codebook", kb, "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["sha256"] == newest["sha256"]
    assert run_semlink("kb", "verify", kb).returncode == 0
    assert [each["sha256"] for each in json.loads(run_semlink("kb", "info", kb, "--json").stdout)["codebooks"]] == [
        newest["sha256"],
        earlier["sha256"],
    ]


@pytest.mark.parametrize("command", [["kb"], ["kb", "build"], ["kb", "info"], ["kb", "verify"], ["kb", "search"]])
def test_help_shows_how(command: list[str]) -> None:
    done = run_semlink(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
