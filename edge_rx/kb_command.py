"""`semlink kb`: build, describe, verify and search a knowledge base; project its vectors, and export its codebooks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Column, Table

from edge_rx.codebook.forecast import CODES, ForecastConfig
from edge_rx.codebook.forecast_view import plot_forecast, print_forecast
from edge_rx.codebook.knowledge_base import codebook_of, forecast_knowledge_base, make_codebook_in
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.manifest import CodebookEntry, Manifest, read_manifest
from edge_rx.kb.project import entry_codebook, project_knowledge_base
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cli import options
from semlink.cli.option_groups import with_option_groups
from semlink.cli.output import print_json, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.cli.results import TO_TABLE, ReportOutput, command_line
from semlink.config import ConfigFile, parse_numbers, split_list
from semlink.errors import KnowledgeBaseError
from semlink.files import replaced_file
from semlink.image import load_image
from semlink.plot_files import require_plottable
from semlink.rates import parse_rate

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Knowledge bases: the images that a receiver can answer with.",
    epilog="Example: semlink kb build my-photos --out my-kb && semlink kb search my-kb picture.jpg",
)

KBFolder = Annotated[Path, typer.Argument(metavar="KB", help="Folder of the knowledge base.")]


@app.command(epilog="Example: semlink kb build my-photos --out my-kb --model-set builtin")
def build(
    folder: Annotated[Path, typer.Argument(help="Folder of images; its subfolders are labels.")],
    out: Annotated[Path, options.output(help="Folder of the new knowledge base.")],
    model_set: options.ModelSetName = "builtin",
    force: Annotated[bool, options.output("--force", help="Replace an existing knowledge base, in one step.")] = False,
    batch_size: options.BatchSize = 32,
    num_threads: options.Threads = 1,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Build a knowledge base from a folder of class folders, or from a flat folder without labels.

    It has the codebook with which a transmitter fits its code to it: `semlink kb export-codebook`. With --force, the
    codebooks of the knowledge base that is replaced stay, the last few of them.
    """
    images = labelled_folder(folder)
    models = ModelSet.find(model_set)
    report = build_knowledge_base(
        images,
        out,
        ImageEncoder(models, num_threads=num_threads),
        codecs=models.codecs,
        codebook_maker=partial(codebook_of, num_threads=num_threads),
        replace=force,
        batch_size=batch_size,
        show_progress=True,
    )
    if as_json:
        print_json(report)
        return
    (codebook, *_) = read_manifest(out).codebooks
    print(f"{out}: {report.num_entries} entries, {len(report.skipped)} images skipped; codebook {_described(codebook)}")
    if force:
        print(f"a receiver of {out} that runs keeps the entries that it opened until it is started again")


@app.command(epilog="Example: semlink kb info my-kb --json")
def info(folder: KBFolder, as_json: options.AsJson = False) -> None:
    """Describe a knowledge base: its entries, labels, encoder and codebooks."""
    with KnowledgeBase.open(folder) as knowledge_base:
        described = {
            **msgspec.structs.asdict(knowledge_base.manifest),
            "fingerprint": knowledge_base.fingerprint.hex(),
            "labels": knowledge_base.labels(),
        }
    if as_json:
        print_json(described)
        return
    table = Table("", Column(escape(str(folder)), overflow="fold"))
    for name, value in _rows(knowledge_base.manifest):
        table.add_row(name, value)
    table.add_row("labels", str(len(described["labels"].keys() - {""})))
    stdout_console().print(table)


def _rows(manifest: Manifest) -> list[tuple[str, str]]:
    lists = {
        "projected": ", ".join(f"{each.codec} {each.fingerprint[:12]}" for each in manifest.projected),
        "codebooks": "\n".join(map(_described, manifest.codebooks)) or "none; semlink kb make-codebook makes one",
    }
    return [(name, lists.get(name, str(value))) for name, value in msgspec.structs.asdict(manifest).items()]


def _described(codebook: CodebookEntry) -> str:
    return (
        f"{codebook.sha256[:12]} of {codebook.made_at}: {codebook.num_cells} {codebook.kind},"
        f" {codebook.num_bytes / 1e3:.0f} KB, digital power share {codebook.digital_power_share:g}"
    )


@app.command(epilog="Example: semlink kb verify my-kb && echo whole")
def verify(folder: KBFolder, as_json: options.AsJson = False) -> None:
    """Check every file of a knowledge base; exit code 6 if one is damaged."""
    with KnowledgeBase.open(folder) as knowledge_base:
        problems = knowledge_base.verify()
    if as_json:
        print_json({"problems": problems})
    else:
        print("\n".join(problems) or f"{folder}: whole, {knowledge_base.num_entries} entries")
    if problems:
        raise typer.Exit(KnowledgeBaseError.exit_code)


@app.command(epilog="Example: semlink kb search my-kb picture.jpg --top 5")
def search(
    folder: KBFolder,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image to search for.")],
    top: Annotated[int, options.output(min=1, help="Number of matches.")] = 5,
    model_set: options.ModelSetName = "builtin",
    num_threads: options.Threads = 1,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Find the images nearest in meaning to an image, without a channel."""
    models = ModelSet.find(model_set)
    with KnowledgeBase.open(
        folder, models.encoder_fingerprint, encoder_name=models.manifest.encoder.name, num_threads=num_threads
    ) as knowledge_base:
        features = ImageEncoder(models, num_threads=num_threads).encode([load_image(image)])
        neighbours = knowledge_base.nearest(features[0], num_matches=top)
    if as_json:
        print_json({"matches": neighbours})
        return
    table = Table("score", "entry", "label", "source")
    for neighbour in neighbours:
        record = neighbour.record
        table.add_row(f"{neighbour.score:.3f}", str(record.entry_id), escape(record.label), escape(record.source))
    stdout_console().print(table)


@app.command(epilog="Example: semlink kb project my-kb --model-set models/mine")
def project(
    folder: KBFolder,
    model_set: options.ModelSetName = "builtin",
    num_threads: options.Threads = 1,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Add the projected vectors of a model set's codecs to a knowledge base; its images are not read.

    `kb build` does this for its own model set. Use this command for a model set that was trained later.
    """
    codecs = project_knowledge_base(folder, ModelSet.find(model_set), num_threads=num_threads)
    if as_json:
        print_json({"codecs": codecs})
    else:
        print(f"{folder}: has projected vectors of {', '.join(codecs)} of {model_set}, in place of any of that name")


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
        print(f"{folder}: has codebook {_described(made)}")


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
    else:
        print(f"{out}: codebook {_described(newest)}")


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
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Write the entry codebook with which a transmitter finds the nearest entry itself: `semlink tx --entries`.

    The file is bound to the entries and their order; export it again after every change of the knowledge base.
    """
    codebook = entry_codebook(folder, ModelSet.find(model_set), codec=codec)
    data = codebook.to_bytes()
    _write_file(out, data)
    num_entries = len(codebook.codes)
    if as_json:
        print_json({"num_entries": num_entries, "num_bytes": len(data)})
    else:
        print(f"{out}: entry codebook of {num_entries} entries, {len(data) / 1e6:.1f} MB")


def _write_file(path: Path, data: bytes) -> None:
    try:
        with replaced_file(path, durable=True) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise KnowledgeBaseError(f"{path}: cannot be written: {error.strerror}") from None
