"""`semlink train encoder`: export image encoders into model sets, and measure them."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from semlink.cli.output import notify, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.config import ConfigFile, split_list
from semlink.errors import MissingDependencyError
from semlink.machine import write_report

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Export image encoders into model sets, and measure them.",
    epilog="Example: semlink train encoder export clip-vit-b32 --out models/clip",
)

DataFolder = Annotated[
    Path | None, typer.Option(help="Where CIFAR-100 lies; $SEMLINK_DATA, else downloaded.", show_default=False)
]
NumThreads = Annotated[
    int | None, typer.Option("--threads", help="CPU threads; all if not given.", min=1, show_default=False)
]


@app.command(
    epilog="""Examples:

semlink train encoder export builtin --out models/builtin --measure digits,cifar100

semlink train encoder export clip-vit-b32 --out models/clip

semlink train encoder export open_clip:MobileCLIP2-S0 --weights mobileclip2_s0.pt --out models/mobileclip"""
)
def export(
    name: Annotated[
        str,
        typer.Argument(
            help="builtin, clip-vit-b32, open_clip:ARCHITECTURE/PRETRAINED, or with --weights open_clip:ARCHITECTURE."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model set to write.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights file, in place of a download.", show_default=False)
    ] = None,
    measure: Annotated[str, typer.Option(help="Datasets whose accuracy goes into the manifest.")] = "digits",
    data_folder: DataFolder = None,
    num_threads: NumThreads = None,
    config: ConfigFile = None,
) -> None:
    """Write an encoder as a model set without a codec, and measure it."""
    datasets = split_list(measure, "--measure")
    try:
        from trainer.encoders.export import write_encoder_model_set
        from trainer.encoders.measure import measure_model_set
        from trainer.encoders.registry import build_encoder
    except ImportError as error:
        raise MissingDependencyError.of(str(error.name), extra="train", purpose="semlink train encoder") from None
    console, threads = stderr_console(), num_threads or _num_cores()
    with _progress(console) as progress:
        encoder = build_encoder(name, weights=weights, data_folder=data_folder, num_threads=threads, progress=progress)
        write_encoder_model_set(out, encoder)
        measured = measure_model_set(out, datasets, data_folder=data_folder, num_threads=threads, progress=progress)
    figures = ", ".join(f"{key} {value:.3f}" for key, value in measured.items())
    notify(console, f"model set written to {out}: {figures}")


@app.command("report-head", epilog="Example: semlink train encoder report-head --json head.json")
def report_head(
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report here.", show_default=False)] = None,
    seeds: Annotated[int, typer.Option(help="How many draws of held-out categories.", min=2)] = 5,
    data_folder: DataFolder = None,
    num_threads: NumThreads = None,
    config: ConfigFile = None,
) -> None:
    """Compare heads for the built-in encoder on categories that they were not fitted to."""
    try:
        from trainer.encoders.head_report import head_table, report_heads
    except ImportError as error:
        raise MissingDependencyError.of(str(error.name), extra="train", purpose="semlink train encoder") from None
    with _progress(stderr_console()) as progress:
        report = report_heads(
            seeds=range(seeds),
            command=shlex.join(["semlink", *sys.argv[1:]]),
            data_folder=data_folder,
            num_threads=num_threads or _num_cores(),
            progress=progress,
        )
    stdout_console().print(head_table(report))
    if json_path is not None:
        write_report(report, json_path)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return progress_bars(console, *columns, transient=True)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))
