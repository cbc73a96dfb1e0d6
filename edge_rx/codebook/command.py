"""Codebooks of a knowledge base: made, exported for transmitters, and the accuracy to expect of them.

Commands of `semlink kb`, see `edge_rx.kb_command`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from edge_rx.codebook.forecast import CODES, ForecastConfig
from edge_rx.codebook.forecast_view import plot_forecast, print_forecast
from edge_rx.codebook.knowledge_base import forecast_knowledge_base, make_codebook_in
from edge_rx.decoders.options import Answer
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.project import entry_codebook
from engines.models.model_set import ModelSet
from semlink.cli import options
from semlink.cli.option_groups import with_option_groups
from semlink.cli.output import notify_of_files, print_json, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.cli.results import TO_TABLE, ReportOutput, command_line
from semlink.config import ConfigFile, parse_numbers, split_list
from semlink.errors import KnowledgeBaseError
from semlink.files import replaced_file
from semlink.plot_files import require_plottable
from semlink.rates import parse_rate

__all__ = ["KBFolder", "app"]

app = typer.Typer(add_completion=False)

KBFolder = Annotated[Path, typer.Argument(metavar="KB", help="Folder of the knowledge base.")]


@app.command("make-codebook", epilog="Example: semlink kb make-codebook my-kb")
def make_codebook(
    folder: KBFolder, num_threads: options.Threads = 1, as_json: options.AsJson = False, config: ConfigFile = None
) -> None:
    """Make the codebook of a knowledge base in place of its newest one; its images are not read.

    `kb build` does this too. Use this command for a knowledge base of an earlier version, or with a damaged codebook.
    Receivers that run already go on with the codebooks that they have read.
    """
    with progress_bars(stderr_console(), transient=True) as bar:
        task = bar.add_task("making the codebook", total=1.0)
        made = make_codebook_in(folder, lambda share: bar.update(task, completed=share), num_threads=num_threads)
    if as_json:
        print_json(made)
    else:
        print(f"{folder}: has codebook {made.description}")


@app.command("export-codebook", epilog="Example: semlink kb export-codebook my-kb --out codebook.npz")
def export_codebook(
    folder: KBFolder,
    out: Annotated[Path, options.output(help="File to write.")],
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Write the newest codebook, with which a transmitter fits its code to the knowledge base: `semlink tx --codebook`.

    The receiver also decodes frames of the last few codebooks, so that transmitters need not change at once.
    """
    with KnowledgeBase.open(folder) as knowledge_base:
        codebook = knowledge_base.newest_codebook()
        newest = knowledge_base.manifest.codebooks[0]
    _write_file(out, codebook.content)
    if as_json:
        print_json(newest)
        notify_of_files(out)
    else:
        print(f"{out}: codebook {newest.description}")


@app.command(epilog="Example: semlink kb forecast my-kb --rate 8,16,64 --plot forecast.png")
@with_option_groups
def forecast(
    folder: KBFolder,
    rate: options.Rates = "16,64",
    snr_db: options.SnrList = "-7,0,10",
    codec: Annotated[
        str, options.models(help=f"Comma-separated codecs, of {', '.join(CODES)}; those named in place of all.")
    ] = ",".join(CODES),
    limit: options.Limit = 1000,
    seed: options.Seed = 0,
    model_set: options.ModelSetName = "builtin",
    num_threads: options.Threads = 1,
    plot: Annotated[Path | None, options.output(help="PNG, SVG or PDF file for the plot.")] = None,
    output: ReportOutput = TO_TABLE,
    config: ConfigFile = None,
) -> None:
    """Forecast the accuracy of a knowledge base by codec, rate and SNR, by sending its entries to the rest of it.

    The forecast holds for images of the same source as the entries; others can be harder. The channel is AWGN.
    """
    if plot is not None:
        require_plottable(plot)
    output.require_writable()
    settings = ForecastConfig(
        rates=[parse_rate(text) for text in split_list(rate, "--rate")],
        snr_db=parse_numbers(snr_db, "--snr-db"),
        codes=split_list(codec, "--codec"),
        limit=limit or 1000,
        seed=seed,
        num_threads=num_threads,
    )
    with progress_bars(stderr_console(), transient=True) as progress:
        report = forecast_knowledge_base(
            folder,
            ModelSet.find(model_set),
            settings,
            command=command_line(),
            track=partial(progress.track, description="sending entries to the rest"),
        )
    if plot is not None:
        plot_forecast(report, plot)
        notify_of_files(plot)
    output.deliver(report)
    if not output.as_json:
        print_forecast(report, stdout_console())


@app.command("export-entries", epilog="Example: semlink kb export-entries my-kb --out entries.npz")
def export_entries(
    folder: KBFolder,
    out: Annotated[Path, options.output(help="File to write.")],
    codec: Annotated[
        str | None,
        options.models(help="Codec with a projection head, in whose space the nearest entry is found."),
    ] = None,
    model_set: options.ModelSetName = "builtin",
    answer: Annotated[
        Answer,
        options.output(
            help="Entry to send: the nearest one of the label that the transmitter decides first, where entries have"
            " labels, or the nearest one whatever its label."
        ),
    ] = "label",
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Write the entry codebook with which a transmitter finds the nearest entry itself: `semlink tx --entries`.

    The file is bound to the entries and their order; export it again after every change of the knowledge base.
    """
    codebook = entry_codebook(folder, ModelSet.find(model_set), codec=codec, decides_label=answer == "label")
    data = codebook.to_bytes()
    _write_file(out, data)
    num_entries = len(codebook.codes)
    if as_json:
        print_json({"num_entries": num_entries, "num_bytes": len(data), "decides_label": codebook.choice is not None})
        notify_of_files(out)
    else:
        how = ", with labels" if codebook.choice is not None else ""
        print(f"{out}: entry codebook of {num_entries} entries{how}, {len(data) / 1e6:.1f} MB")


def _write_file(path: Path, data: bytes) -> None:
    try:
        with replaced_file(path, durable=True) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise KnowledgeBaseError(f"{path}: cannot be written: {error.strerror}") from None
