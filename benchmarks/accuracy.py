"""`make results`: evaluate the codecs, and write docs/results.md from the committed reports.

`python -m benchmarks.accuracy NAME ...` makes the evaluations named alone; `--render` only writes the page.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli import run_command
from benchmarks.evaluations import EVALUATIONS
from benchmarks.results_page import PAGE, results_page
from semlink.errors import ConfigError, SemlinkError
from trainer.evaluation.plot import plot_report

ROOT = Path(__file__).parents[1]


class EvaluationFailedError(SemlinkError):
    """An evaluation ended with an exit code, and with its own message before this one."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(f"the evaluation {name} ended with exit code {exit_code}; the next start continues it")
        self.exit_code = exit_code if exit_code > 0 else 1  # a signal has a negative number


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Evaluations to make; all by default.")] = None,
    render: Annotated[bool, typer.Option("--render", help="Evaluate nothing, only write the page.")] = False,
) -> None:
    """Evaluate codecs into benchmarks/results/, and write docs/results.md after all of them."""
    known = [evaluation.name for evaluation in EVALUATIONS]
    if unknown := set(names or ()) - set(known):
        raise ConfigError(f"no evaluation {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    if render and names:
        raise ConfigError("--render writes the page from all committed reports; leave out the names")
    if not render:
        for evaluation in EVALUATIONS:
            if evaluation.name in (names or known):
                paths = ("--out", str(evaluation.path), "--plot", str(evaluation.figure))
                command = [sys.executable, "-m", "semlink", *evaluation.command, *paths]
                done = subprocess.run(command, check=False, cwd=ROOT)
                if done.returncode:
                    raise EvaluationFailedError(evaluation.name, done.returncode)
    if names:
        return
    for evaluation in EVALUATIONS:
        plot_report(evaluation.report(ROOT), ROOT / evaluation.figure)
    (ROOT / PAGE).write_text(results_page(ROOT), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    run_command(main, "benchmarks.accuracy")
