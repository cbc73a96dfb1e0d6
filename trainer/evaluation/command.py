"""`semlink evaluate`: accuracy of codecs over rates, SNRs, channels and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_rx.decoders.options import Answer
from semlink.channel_registry import channel_names
from semlink.cli import options
from semlink.cli.output import notify, notify_of_files, print_json, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.cli.results import command_line
from semlink.config import ConfigFile, parse_numbers, split_list
from semlink.constellation import Constellation
from semlink.errors import packages_of
from semlink.machine import num_cores
from semlink.report import require_writable, write_report
from trainer.codecs.config import Precision, TrainingChannel
from trainer.codecs.table import codec_names

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """Examples:

semlink evaluate --data digits --rate 64 --snr-db=-7,0,10

semlink evaluate --data cifar100 --codec kbsc,kbsc-reference --rate 64,256 --num-seeds 3 --out out.json"""


@app.command(short_help="Measure codecs over rates, SNRs, channels and seeds.", epilog=_EPILOG)
def evaluate(
    data: Annotated[
        str, options.source(help="Dataset: digits, photos, cifar100, a folder, or one in $SEMLINK_DATA.")
    ] = "digits",
    limit: Annotated[
        int | None,
        options.source(
            min=1, help="Largest number of images to send; knowledge base and training images are always used whole."
        ),
    ] = None,
    train_data: Annotated[
        str | None, options.source(help="Dataset to train codecs on; by default that of --data.")
    ] = None,
    codec: Annotated[str, options.link(help=f"Comma-separated codecs, of {', '.join(codec_names())}.")] = "nested",
    rate: options.Rates = "64",
    snr_db: options.SnrList = "-7,0,10",
    channel: Annotated[str, options.link(help=f"Comma-separated channels, of {', '.join(channel_names())}.")] = "awgn",
    pilots: Annotated[int, options.link(help="Number of pilots in front of an image under block fading.", min=1)] = 8,
    csi: Annotated[
        Literal["pilots", "genie", "none"],
        options.link(
            help="Channel state information under block fading; genie is an upper bound, none assumes a gain of 1."
        ),
    ] = "pilots",
    constellation: Annotated[
        Constellation | None,
        options.link(help="Points to which the transmitter rounds its symbols; by default it does not."),
    ] = None,
    answer: Annotated[
        Answer | None,
        options.link(
            help="Entry to answer with, as rx --answer; by default as published: label for adapted, nearest for others."
        ),
    ] = None,
    weights: Annotated[
        Literal["auto", "trained", "model-set"],
        options.models(help="Codecs trained for each seed, or those of the model set; auto trains on cifar100 only."),
    ] = "auto",
    model_set: options.ModelSetName = "builtin",
    encoder: Annotated[
        str | None,
        options.models(
            help="Image encoder by name, in place of the model set's, as train encoder export takes it; codecs are"
            " then trained."
        ),
    ] = None,
    train_channel: Annotated[
        TrainingChannel | None,
        options.models(help="Channel on which kbsc is trained; by default the one that suits each channel."),
    ] = None,
    epochs: Annotated[int, options.models(help="Largest number of epochs of a training run of kbsc.", min=1)] = 60,
    precision: Annotated[Precision, options.models(help="Arithmetic of matrix products in training.")] = "bf16",
    num_seeds: options.NumSeeds = 3,
    jobs: options.Jobs = None,
    runs_dir: options.RunsDir = None,
    as_json: options.AsJson = False,
    out: options.OutFile = None,
    plot: Annotated[
        Path | None, options.output(help="PNG, SVG or PDF file for the plot; by default beside --out.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Measure codecs over a grid, without sockets, through the graphs and functions of the link.

    An interrupted evaluation is continued by the next start of the same command.
    """
    with packages_of("demo", purpose="semlink evaluate"):
        from semlink.plot_files import require_plottable
        from trainer.evaluation.config import EvaluationConfig
        from trainer.evaluation.plot import plot_report
        from trainer.evaluation.report import summary_table
        from trainer.evaluation.run import evaluate as run_evaluation
    settings = EvaluationConfig(
        data=data,
        codecs=split_list(codec, "--codec"),
        rates=split_list(rate, "--rate"),
        snr_db=parse_numbers(snr_db, "--snr-db"),
        channels=split_list(channel, "--channel"),
        num_seeds=num_seeds,
        limit=limit,
        train_data=train_data,
        training_channel=train_channel,
        weights=weights,
        model_set=model_set,
        encoder=encoder,
        num_pilots=pilots,
        csi=csi,
        constellation=constellation,
        answer=answer,
        epochs=epochs,
        precision=precision,
        num_jobs=jobs or num_cores(),
        runs_dir=runs_dir,
    )
    if plot is None and out is not None:
        plot = out.with_suffix(".png")
    # Before hours of work, not after them.
    if out is not None:
        require_writable(out)
    if plot is not None:
        require_plottable(plot)
    console = stderr_console()
    try:
        report = run_evaluation(
            settings,
            command=command_line(),
            progress=progress_bars(console),
            deliver=lambda report: None if out is None else write_report(report, out),
        )
    except KeyboardInterrupt:
        notify(console, "stopped; measured cells are kept, and the same command continues")
        raise
    if as_json:
        print_json(report)
    else:
        stdout_console().print(summary_table(report))
    if plot is not None:
        plot_report(report, plot)
    notify_of_files(*(path for path in (out, plot) if path is not None))
