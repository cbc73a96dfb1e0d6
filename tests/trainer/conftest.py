"""What several tests of the trainer learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

if TYPE_CHECKING:
    from engines.models.model_set import ModelSet
    from trainer.evaluation.grid import Grid
    from trainer.evaluation.report import EvaluationReport


@pytest.fixture
def evaluated(tmp_path: Path) -> Callable[..., EvaluationReport]:
    """`run_evaluation` with codecs trained for an epoch, what it learns kept in the test's folder."""
    from trainer.evaluation.run import run_evaluation

    def evaluate(
        cells: Grid,
        pictures: Path,
        model_set: ModelSet,
        deliver: Callable[[EvaluationReport], None] | None = None,
        num_jobs: int = 1,
    ) -> EvaluationReport:
        return run_evaluation(
            cells,
            data=str(pictures),
            train_data=None,
            model_set=str(model_set.folder),
            weights="trained",
            count=None,
            epochs=1,
            precision="fp32",
            num_jobs=num_jobs,
            runs=tmp_path / "runs",
            command="semlink evaluate",
            console=Console(quiet=True),
            deliver=deliver,
        )

    return evaluate


@pytest.fixture(scope="session")
def pictures_to_learn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds train/<class> and test/<class>, of tiny pictures in four shades of grey."""
    folder = tmp_path_factory.mktemp("learn")
    rng = np.random.default_rng(0)
    for split, num_images in (("train", 1300), ("test", 80)):
        for index in range(num_images):
            path = folder / split / f"class{index % 4}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 40, (8, 8, 3)) + 60 * (index % 4)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder
