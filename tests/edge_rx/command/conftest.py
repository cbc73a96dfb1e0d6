"""Options with which a receiver finds its knowledge base and its models."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.models.model_set import ModelSet


@pytest.fixture
def arguments(built_kb: Path, model_set: ModelSet, tmp_path: Path) -> list[str]:
    return ["--kb", str(built_kb), "--model-set", str(model_set.folder), "--results", str(tmp_path / "results")]
