"""Datasets by name, and that none of them needs torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from semlink.errors import SemlinkError
from tests.support.pictures import save_pictures
from tests.support.processes import run_without_torch
from trainer.datasets import DATASETS, open_dataset


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(SemlinkError, match=", ".join(DATASETS)):
        open_dataset(tmp_path / "nowhere")


def test_folder_of_semlink_data_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pictures(tmp_path / "mine", ["red/1.png", "red/2.png", "blue/1.png", "blue/2.png"])
    monkeypatch.setenv("SEMLINK_DATA", str(tmp_path))
    assert sorted(set(open_dataset("mine").sent.labels)) == ["blue", "red"]
    with pytest.raises(SemlinkError, match=r"neither a folder, here or in \$SEMLINK_DATA"):
        open_dataset("yours")


@pytest.mark.process
def test_datasets_run_where_torch_is_blocked() -> None:
    script = """
from trainer.datasets import open_dataset
print(len(open_dataset("digits").sent), len(open_dataset("photos").sent))
"""
    done = run_without_torch(script)
    assert done.stdout.split() == ["896", "105"], done.stderr
