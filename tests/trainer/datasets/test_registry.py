"""Datasets by name, and that none of them needs torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from semlink.errors import SemlinkError
from tests.support.processes import run_python
from trainer.datasets import DATASETS, open_dataset


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(SemlinkError, match=", ".join(DATASETS)):
        open_dataset(tmp_path / "nowhere")


@pytest.mark.process
def test_datasets_run_where_torch_is_blocked() -> None:
    # scipy takes a None in sys.modules for an imported torch, so it is blocked where it would be found.
    script = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is blocked")

sys.meta_path.insert(0, Block())
from trainer.datasets import open_dataset
print(len(open_dataset("digits").sent), len(open_dataset("photos").sent))
"""
    done = run_python("-c", script)
    assert done.stdout.split() == ["896", "105"], done.stderr
