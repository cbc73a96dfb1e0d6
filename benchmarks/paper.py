"""`make paper`: the configuration of arXiv 2504.01053, evaluated beside our codecs, into a JSON and tables.

The image encoder is CLIP's where a model set of it is there, and the built-in one otherwise; the table says which. The
paper's own figures are plots and are not copied: see docs/paper.md.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from rich.table import Table

from benchmarks.cli import ReportPath, run_command
from benchmarks.paper_claims import PAGE, REPORT, claim_reports, page_with_claims
from semlink.cli.options import Jobs, Limit, NumSeeds, Rates, models, output
from semlink.cli.output import notify, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.config import split_list
from semlink.machine import num_cores
from semlink.paper_channel import PAPER_CHANNELS
from semlink.rates import PAPER_RATES
from semlink.report import require_writable, write_report
from trainer.evaluation import EvaluationConfig, EvaluationReport, evaluate

CODECS = ("kbsc-reference", "kbsc", "nested-cells", "index", "bpg-ldpc")
SNR_DB = (-7.0, -6.0, -5.0, -4.0, -2.0, 0.0, 2.0, 4.0, 5.0, 6.0, 7.0, 10.0)
"""Test SNRs of the published code."""
RATES = ",".join(str(rate.num_symbols) for rate in PAPER_RATES)
ROOT = Path(__file__).parents[1]
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
        models(
            "--model-set",
            help="Model set of the image encoder: name or folder; models/clip if it exists, else builtin.",
        ),
    ] = None,
    rate: Rates = RATES,
    epochs: Annotated[int, models(min=1, help="Largest number of training epochs; the paper's code has 100.")] = 60,
    limit: Limit = None,
    num_seeds: NumSeeds = 3,
    jobs: Jobs = None,
    render: Annotated[
        bool, output("--render", help="Evaluate nothing, only write the claims of docs/paper.md.")
    ] = False,
    out: ReportPath = REPORT,
) -> None:
    """Evaluate the paper's configuration on CIFAR-100, which SEMLINK_DATA names or which is downloaded.

    The committed report, which --out names by default, also gives the table of claims in docs/paper.md.
    """
    if not render:
        require_writable(out)
        console = stderr_console()
        chosen = choose_model_set(model_set)
        notify(console, f"image encoder: model set {chosen}")
        if model_set is None and chosen == "builtin":
            notify(
                console,
                f"{CLIP_MODEL_SET} does not exist; CLIP's model set is made with: semlink train encoder export"
                f" clip-vit-b32 --out {CLIP_MODEL_SET}",
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
            num_jobs=jobs or num_cores(),
        )
        command = shlex.join(["python", "-m", "benchmarks.paper", *sys.argv[1:]])
        report = evaluate(
            config, command=command, progress=progress_bars(console), deliver=lambda report: write_report(report, out)
        )
        stdout_console().print(table_of(report))
    if render or out == REPORT:
        page = ROOT / PAGE
        page.write_text(page_with_claims(page.read_text(encoding="utf-8"), claim_reports(ROOT)), encoding="utf-8")
        print(f"wrote {PAGE}")


if __name__ == "__main__":
    run_command(main, "benchmarks.paper")
