"""`semlink demo`: the whole link on this machine, on real images, in about a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from semlink.channel import default_num_pilots
from semlink.channel_registry import channel_names, find_channel
from semlink.cli import options
from semlink.cli.output import notify, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.cli.results import command_line
from semlink.cli.summary import print_latency
from semlink.config import ConfigFile, parse_numbers, split_list
from semlink.errors import packages_of
from semlink.rates import parse_rate
from trainer.demo.config import DEFAULT_DATASETS, DEFAULT_LIMIT, DemoConfig

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """Examples:

semlink demo

semlink demo --rate 1/48,1/6 --snr-db=-7,0,10

semlink demo --data my-photos/ --limit 200"""


@app.command(short_help="Run the whole link on real images and report the results.", epilog=_EPILOG)
def demo(
    data: Annotated[
        str | None, options.source(help="Dataset: digits, photos, cifar100, or a folder; photos and digits by default.")
    ] = None,
    limit: options.Limit = DEFAULT_LIMIT,
    rate: options.Rates = "1/48",
    snr_db: options.SnrList = "-7,0,10",
    channel: Annotated[
        str, options.link(help=f"Channel model: {', '.join(channel_names())}.", autocompletion=channel_names)
    ] = "awgn",
    pilots: Annotated[
        int | None,
        options.link(help="Number of pilots in front of an image; by default 8 under block fading, else 0.", min=0),
    ] = None,
    model_set: options.ModelSetName = "builtin",
    codec: Annotated[
        str | None,
        options.models(
            help="Comma-separated codecs; by default adapted and the model set's per-rate ones, such as kbsc."
        ),
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[Path, options.output(help="Folder for report.json, report.html and photographs.webp.")] = Path(
        "demo-report"
    ),
    keep: Annotated[
        bool, options.output("--keep", help="Keep images, knowledge bases and logs beside the report.")
    ] = False,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Send real images through receiver, channel and transmitter as three processes, and report the results."""
    with packages_of("demo", purpose="semlink demo"):
        from trainer.demo.report import cell_latency, summary_table
        from trainer.demo.run import PAGE_FILE, REPORT_FILE, run_demo
    settings = DemoConfig(
        datasets=(data,) if data else DEFAULT_DATASETS,
        model_set=model_set,
        codecs=tuple(dict.fromkeys(split_list(codec, "--codec"))) if codec is not None else (),
        rates=tuple(dict.fromkeys(parse_rate(text) for text in split_list(rate, "--rate"))),
        snr_db=tuple(dict.fromkeys(parse_numbers(snr_db, "--snr-db"))),
        channel=channel,
        num_pilots=default_num_pilots(find_channel(channel)) if pilots is None else pilots,
        limit=limit,
        seed=seed,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with progress_bars(stderr_console(), *columns) as progress:
        report = run_demo(settings, out, keep=keep, command=command_line(), progress=progress)
    if as_json:
        typer.echo((out / REPORT_FILE).read_text(encoding="utf-8"))
    else:
        console = stdout_console()
        console.print(summary_table(report))
        print_latency("Image in memory to match in memory", cell_latency(report.datasets), console=console)
        print_latency("Stages of the first run", report.datasets[0].cells[0].stage_latency_ms, console=console)
    notify(stderr_console(), f"wrote {out / REPORT_FILE} and {out / PAGE_FILE}")
