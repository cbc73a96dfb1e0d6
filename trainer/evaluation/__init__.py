"""Evaluation of the link as a library call, for figures: no sockets, no processes.

config    settings of an evaluation
checks    refuse cells of the grid that cannot run, before anything is encoded or trained
run       check, encode, fit, measure
report    records and their summary; `plot` draws them

Names of `__all__` are imported on first use, so that the package itself imports nothing.
"""

from typing import TYPE_CHECKING

from semlink.lazy import lazy_exports

if TYPE_CHECKING:
    from trainer.evaluation.config import EvaluationConfig
    from trainer.evaluation.report import EvaluationReport
    from trainer.evaluation.run import evaluate

__all__ = ["EvaluationConfig", "EvaluationReport", "evaluate"]

_MODULES = {"EvaluationConfig": "config", "EvaluationReport": "report", "evaluate": "run"}
__getattr__ = lazy_exports(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
