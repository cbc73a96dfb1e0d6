"""`semlink kb make-codebook`, `export-codebook`, `export-entries` and `forecast`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.errors import KnowledgeBaseError
from tests.support.processes import run_semlink

pytestmark = pytest.mark.process


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
