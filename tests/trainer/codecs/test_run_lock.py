"""A fit is kept by one process at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs semlink[train]")

from semlink.errors import ResultsError
from semlink.files import try_lock
from semlink.rates import parse_rate
from trainer.codecs import nested_cells, quantizer
from trainer.codecs.run_lock import locked_run
from trainer.codecs.table import find_codec
from trainer.codecs.training_data import TrainingFeatures


def is_locked(folder: Path) -> bool:
    (lock,) = folder.glob("*.lock")
    with lock.open("rb") as file:
        return not try_lock(file.fileno())


def test_other_processes_wait_while_a_fit_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    data = TrainingFeatures(features, np.zeros(300, np.int64), "noise", "key")
    seen = []
    for module, centres in ((nested_cells, "cluster_tree"), (quantizer, "cluster_centres")):
        runs, cluster = tmp_path / module.__name__, getattr(module, centres)

        def watched(*arguments: object, runs: Path = runs, cluster: object = cluster, **options: object) -> object:
            seen.append(is_locked(runs))
            return cluster(*arguments, **options)  # type: ignore[operator]

        monkeypatch.setattr(module, centres, watched)
    nested_cells.fitted_nested_cells(0, data, tmp_path / nested_cells.__name__)
    key = find_codec("vq").fit_key(parse_rate("16"), 0, "awgn")
    quantizer.fitted_quantizer(key, data, tmp_path / quantizer.__name__)
    assert seen == [True, True]
    assert not any(is_locked(folder) for folder in tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = r"the training run cannot be kept: .*; choose another --runs-dir"
    with pytest.raises(ResultsError, match=words), locked_run(tmp_path / "file" / "fit.npz"):
        pytest.fail("nothing is fitted")
