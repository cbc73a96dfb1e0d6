"""A whole evaluation in the test's own folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trainer.evaluation import EvaluationReport


@pytest.fixture
def evaluated(tmp_path: Path, pictures_to_learn: Path) -> Callable[..., EvaluationReport]:
    """`evaluate` with codecs trained for an epoch on tiny pictures, its runs kept in the test's folder."""
    from trainer.evaluation import EvaluationConfig, evaluate

    def evaluate_settings(deliver: Any = None, progress: Any = None, **settings: Any) -> EvaluationReport:
        defaults = {
            "data": str(pictures_to_learn),
            "rates": [16],
            "snr_db": [-10.0, 20.0],
            "num_seeds": 1,
            "weights": "trained",
            "epochs": 1,
            "precision": "fp32",
            "runs_dir": tmp_path / "runs",
        }
        return evaluate(EvaluationConfig(**{**defaults, **settings}), deliver=deliver, progress=progress)

    return evaluate_settings
