"""Evaluation of the link as a library call, for figures: no sockets, no processes.

config    settings of an evaluation
checks    refuse cells of the grid that cannot run, before anything is encoded or trained
run       check, encode, fit, measure
report    records and their summary; `plot` draws them

Names of `__all__` are imported on first use, so that the package itself imports nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.evaluation.config import EvaluationConfig
    from trainer.evaluation.report import EvaluationReport
    from trainer.evaluation.run import evaluate

__all__ = ["EvaluationConfig", "EvaluationReport", "evaluate"]

_MODULES = {"EvaluationConfig": "config", "EvaluationReport": "report", "evaluate": "run"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
