"""`semlink demo`: the whole link on this machine, on real images, in about a minute."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel, default_num_pilots
from semlink.cli.output import notify, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.cli.summary import print_latency
from semlink.config import ConfigFile, parse_numbers, split_list
from semlink.errors import ConfigError, MissingDependencyError, ResultsError
from semlink.machine import write_report
from semlink.rates import parse_rate

if TYPE_CHECKING:
    from trainer.demo.run import DemoReport

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_COMPARED = "kbsc"
"""The paper's codec, which is shown beside the set's own."""

_EPILOG = """Examples:

semlink demo

semlink demo --rate 1/48,1/6 --snr-db=-7,0,10

semlink demo --data my-photos/ --count 200"""


@app.command(short_help="Run the whole link on real images and report the results.", epilog=_EPILOG)
def demo(
    data: Annotated[
        str | None,
        typer.Option(
            help="cifar100, or a folder; digits for figures and photos for the eye if not given.", show_default=False
        ),
    ] = None,
    model_set: Annotated[str, typer.Option(help="Name of a built-in model set, or a folder.")] = "builtin",
    codec: Annotated[
        str | None,
        typer.Option(help="Comma-separated codecs; the set's first, and kbsc, if not given.", show_default=False),
    ] = None,
    rate: Annotated[str, typer.Option(help="Comma-separated rates: symbols, or CBR on CIFAR-100.")] = "1/48",
    snr_db: Annotated[str, typer.Option(help="Es/N0 in dB; write --snr-db=-7,0,10.")] = "-7,0,10",
    channel: Annotated[ChannelModel, typer.Option(help="What the air does.")] = ChannelModel.AWGN,
    pilots: Annotated[
        int | None,
        typer.Option(help="Known symbols before each image; 8 under block fading, else 0.", show_default=False, min=0),
    ] = None,
    count: Annotated[int | None, typer.Option(help="Send at most so many images.", show_default=False, min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of views, noise and gains.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.html.")] = Path("demo-report"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep images, KBs and logs beside the report.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json on stdout.")] = False,
    config: ConfigFile = None,
) -> None:
    """Start receiver, channel and transmitter, stream real images, and report what came through."""
    try:
        from trainer.demo.page import write_page
        from trainer.demo.run import DemoOptions, run_demo
    except ImportError as error:
        raise MissingDependencyError.of(str(error.name), extra="demo", purpose="semlink demo") from None
    options = DemoOptions(
        datasets=(data,) if data else ("digits", "photos"),
        model_set=model_set,
        codecs=_codecs(codec, model_set),
        must_have_rates=codec is not None,
        rates=tuple(dict.fromkeys(parse_rate(text) for text in split_list(rate, "--rate"))),
        snr_db=tuple(dict.fromkeys(parse_numbers(snr_db, "--snr-db"))),
        channel=channel.value,
        num_pilots=default_num_pilots(channel) if pilots is None else pilots,
        count=count,
        seed=seed,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = progress_bars(stderr_console(), *columns)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; --out takes a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"{out}: {error.strerror}") from None
    with new_or_temporary_folder(out / "work" if keep else None) as work, progress:
        report, runs = run_demo(options, work, progress)
        write_report(report, out / "report.json")
        write_page(report, runs, out / "report.html")
    if as_json:
        typer.echo((out / "report.json").read_text(encoding="utf-8"))
    else:
        _print(report)
    notify(progress.console, f"wrote {out}/report.json and {out}/report.html")


def _codecs(asked: str | None, model_set: str) -> tuple[str, ...]:
    """What is asked for; else what a transmitter of the set uses, and beside it the paper's, where the set has it."""
    if asked is not None:
        return tuple(dict.fromkeys(split_list(asked, "--codec")))
    models = ModelSet.find(model_set)
    held = [codec.name for codec in models.codecs]
    return tuple(dict.fromkeys([models.codec().name, *(name for name in held if name == _COMPARED)]))


@contextlib.contextmanager
def new_or_temporary_folder(folder: Path | None) -> Iterator[Path]:
    """Give an empty folder: the one named, which stays, or a temporary one."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="semlink-demo-") as temporary:
            yield Path(temporary)
        return
    if folder.exists():
        raise ConfigError(f"{folder} exists from an earlier demo; remove it, or choose another --out")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ResultsError(f"{folder}: {error.strerror}") from None
    yield folder


def _print(report: DemoReport) -> None:
    console = stdout_console()
    table = Table(
        *("dataset", "codec", "symbols", "SNR dB", "right", "ideal", "sent", "lost", "images/s"),
        title="What came through",
        title_justify="left",
        box=None,
    )
    latency = {}
    for dataset in report.datasets:
        for cell in dataset.cells:
            table.add_row(
                *(escape(dataset.dataset), cell.codec, str(cell.num_symbols), f"{cell.snr_db:g}"),
                *(f"{cell.semantic_accuracy:.3f}", f"{dataset.noiseless_accuracy:.3f}"),
                *map(str, (cell.images_sent, cell.frames_lost)),
                f"{cell.throughput_images_s:.0f}",
            )
            latency[f"{dataset.dataset} {cell.codec} {cell.rate} {cell.snr_db:g} dB"] = cell.latency_ms
    console.print(table)
    print_latency("Image in memory to match in memory", latency, console=console)
    print_latency("Stages of the first run", report.datasets[0].cells[0].stage_latency_ms, console=console)
