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
    as_json = run_semlink("kb", "export-codebook", kb, "--out", tmp_path / "codebook.npz", "--json")
    assert json.loads(as_json.stdout) == entry
    assert f"wrote {tmp_path / 'codebook.npz'}\n" in as_json.stderr
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


def test_the_files_of_a_forecast_are_announced(picture_folder: Path, model_set: ModelSet, tmp_path: Path) -> None:
    kb, models = tmp_path / "KB", ["--model-set", str(model_set.folder)]
    assert run_semlink("kb", "build", picture_folder, "--out", kb, *models).returncode == 0
    plot, out = tmp_path / "forecast.svg", tmp_path / "forecast.json"
    grid = ("--codec", "adapted", "--rate", "16", "--snr-db", "10")
    done = run_semlink("kb", "forecast", kb, *models, *grid, "--plot", plot, "--out", out)
    assert done.returncode == 0, done.stderr
    for path in (plot, out):
        assert f"wrote {path}\n" in done.stderr
        assert path.is_file()
