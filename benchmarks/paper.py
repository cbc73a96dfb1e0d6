"""`make paper`: the configuration of arXiv 2504.01053, evaluated beside our codecs, into a JSON and a table.

The image encoder is CLIP's where a model set of it is there, and the built-in one otherwise; the table says which. The
paper's own figures are plots and are not copied: see docs/paper.md.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.cli import run_command
from engines.models.model_set import BUILTIN_MODEL_SETS
from semlink.channel import PAPER_CHANNELS
from semlink.cli.options import Rates
from semlink.cli.output import notify, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.config import split_list
from semlink.rates import PAPER_RATES
from semlink.report import require_writable, write_report
from trainer.evaluation import EvaluationConfig, EvaluationReport, evaluate

CODECS = ("kbsc-reference", "kbsc", "nested", "index")
SNR_DB = (-7.0, -6.0, -5.0, -4.0, -2.0, 0.0, 2.0, 4.0, 5.0, 6.0, 7.0, 10.0)
"""Test SNRs of the published code."""
RATES = ",".join(str(rate.num_symbols) for rate in PAPER_RATES)
CLIP_MODEL_SET = Path("models/clip")


def choose_model_set(named: str | None) -> str:
    """The named model set; by default CLIP's if it exists, otherwise the built-in one."""
    if named is not None:
        return named
    return str(CLIP_MODEL_SET) if (CLIP_MODEL_SET / "manifest.json").is_file() else "builtin"


def table_of(report: EvaluationReport) -> Table:
    """Accuracy at each SNR, and its mean over SNRs as a share of the noiseless accuracy."""
    snr_db = sorted({cell.snr_db for cell in report.summary})
    title = (
        f"Our measurement with the encoder {report.encoder}: semantic accuracy on {report.dataset},"
        f" noiseless {report.noiseless_accuracy:.3f}"
    )
    columns = ("codec", "channel", "symbols", *(f"{snr:g} dB" for snr in snr_db), "mean share of noiseless")
    table = Table(*columns, title=title, title_justify="left")
    rows = dict.fromkeys((cell.codec, cell.channel, cell.num_symbols) for cell in report.summary)
    for codec, channel, num_symbols in rows:
        accuracy = {
            cell.snr_db: cell.semantic_accuracy
            for cell in report.summary
            if (cell.codec, cell.channel, cell.num_symbols) == (codec, channel, num_symbols)
        }
        share = sum(accuracy.values()) / len(accuracy) / report.noiseless_accuracy
        name = f"{codec} (the paper's channel)" if codec == "kbsc-reference" else codec
        table.add_row(name, channel, str(num_symbols), *(f"{accuracy[snr]:.3f}" for snr in snr_db), f"{share:.3f}")
    return table


def main(
    model_set: Annotated[
        str | None,
        typer.Option(help="Model set of the image encoder; models/clip if it is there, else builtin."),
    ] = None,
    rate: Rates = RATES,
    num_seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 3,
    epochs: Annotated[
        int, typer.Option(min=1, help="Largest number of training epochs; the paper's code has 100.")
    ] = 60,
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number of images to send.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Training runs and links at the same time.")] = 2,
    out: Annotated[Path, typer.Option(help="File for the report.")] = Path("benchmarks/results/paper.json"),
) -> None:
    """Evaluate the paper's configuration on CIFAR-100, which SEMLINK_DATA names or which is downloaded."""
    require_writable(out)
    console = stderr_console()
    chosen = choose_model_set(model_set)
    if not (BUILTIN_MODEL_SETS / chosen).is_dir():
        notify(console, f"image encoder: model set {chosen}")
    else:
        notify(
            console,
            f"image encoder: the model set {chosen}, since {CLIP_MODEL_SET} is not there; CLIP's is made with: semlink"
            f" train encoder export clip-vit-b32 --out {CLIP_MODEL_SET}",
        )
    config = EvaluationConfig(
        data="cifar100",
        codecs=CODECS,
        rates=split_list(rate, "--rate"),
        snr_db=SNR_DB,
        channels=[channel.value for channel in PAPER_CHANNELS],
        num_seeds=num_seeds,
        weights="trained",
        model_set=chosen,
        epochs=epochs,
        limit=limit,
        num_jobs=jobs,
    )
    command = shlex.join(["python", "-m", "benchmarks.paper", *sys.argv[1:]])
    report = evaluate(
        config, command=command, progress=progress_bars(console), deliver=lambda report: write_report(report, out)
    )
    stdout_console().print(table_of(report))


if __name__ == "__main__":
    run_command(main, "benchmarks.paper")
