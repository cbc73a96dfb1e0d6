"""`semlink kb`: build, describe, check, search and rekey a knowledge base, and export its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Column, Table

from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.project import rekey
from engines.models.codecs import NestedCodec
from engines.models.entry_codebook import EntryCodebook
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cli.output import stdout_console
from semlink.config import ConfigFile
from semlink.errors import ConfigError, KnowledgeBaseError
from semlink.files import replaced_file
from semlink.image import load_image

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Knowledge bases: the images that a receiver can answer with.",
    epilog="Example: semlink kb build photos --out KB && semlink kb search KB picture.jpg",
)

KBFolder = Annotated[Path, typer.Argument(metavar="KB", help="The knowledge base's folder.")]
ModelSetName = Annotated[str, typer.Option(help="Built-in model set's name, or a folder.")]
NumThreads = Annotated[int, typer.Option(min=1, help="CPU threads of the encoder.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@app.command(epilog="Example: semlink kb build photos --out KB --model-set builtin")
def build(
    folder: Annotated[Path, typer.Argument(help="Pictures; folders in it are labels.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    model_set: ModelSetName = "builtin",
    force: Annotated[bool, typer.Option("--force", help="Replace a knowledge base, in one step.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in one call of the encoder.")] = 32,
    num_threads: NumThreads = 1,
    as_json: AsJSON = False,
    config: ConfigFile = None,
) -> None:
    """Build a knowledge base from a folder of class folders, or from a flat folder without labels."""
    images = labelled_folder(folder)
    models = ModelSet.find(model_set)
    report = build_knowledge_base(
        images,
        out,
        ImageEncoder(models, num_threads=num_threads),
        codecs=models.codecs,
        replace=force,
        batch_size=batch_size,
        show_progress=True,
    )
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    print(f"{out}: {report.num_entries} entries, {len(report.skipped)} pictures skipped")


@app.command(epilog="Example: semlink kb info KB --json")
def info(folder: KBFolder, as_json: AsJSON = False) -> None:
    """Say what a knowledge base holds and which encoder it was built with."""
    with KnowledgeBase.open(folder) as knowledge_base:
        described = {
            **msgspec.structs.asdict(knowledge_base.manifest),
            "fingerprint": knowledge_base.fingerprint.hex(),
            "labels": knowledge_base.labels(),
        }
    if as_json:
        typer.echo(msgspec.json.encode(described).decode())
        return
    table = Table("", Column(escape(str(folder)), overflow="fold"))
    for name, value in msgspec.structs.asdict(knowledge_base.manifest).items():
        table.add_row(
            name, ", ".join(f"{keys.codec} {keys.fingerprint[:12]}" for keys in value) if name == "keys" else str(value)
        )
    table.add_row("labels", str(len(described["labels"])))
    stdout_console().print(table)


@app.command(epilog="Example: semlink kb verify KB && echo whole")
def verify(folder: KBFolder, as_json: AsJSON = False) -> None:
    """Read everything in a knowledge base and check it; exit code 6 if something is wrong."""
    with KnowledgeBase.open(folder) as knowledge_base:
        problems = knowledge_base.verify()
    if as_json:
        typer.echo(msgspec.json.encode({"problems": problems}).decode())
    else:
        print("\n".join(problems) or f"{folder}: whole, {knowledge_base.num_entries} entries")
    if problems:
        raise typer.Exit(KnowledgeBaseError.exit_code)


@app.command(epilog="Example: semlink kb search KB picture.jpg --top 5")
def search(
    folder: KBFolder,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to look for.", show_default=False)],
    top: Annotated[int, typer.Option(min=1, help="Matches to show.")] = 5,
    model_set: ModelSetName = "builtin",
    num_threads: NumThreads = 1,
    as_json: AsJSON = False,
    config: ConfigFile = None,
) -> None:
    """Find the images that mean most nearly the same as a picture, without any link between."""
    models = ModelSet.find(model_set)
    with KnowledgeBase.open(
        folder, models.encoder_fingerprint, encoder_name=models.manifest.encoder.name, num_threads=num_threads
    ) as knowledge_base:
        features = ImageEncoder(models, num_threads=num_threads).encode([load_image(image)])
        neighbours = knowledge_base.nearest(features[0], num_matches=top)
    if as_json:
        typer.echo(msgspec.json.encode({"matches": neighbours}).decode())
        return
    table = Table("score", "entry", "label", "source")
    for neighbour in neighbours:
        record = neighbour.record
        table.add_row(f"{neighbour.score:.3f}", str(record.entry_id), escape(record.label), escape(record.source))
    stdout_console().print(table)


@app.command("rekey", epilog="Example: semlink kb rekey KB --model-set models/mine")
def rekey_command(
    folder: KBFolder,
    model_set: ModelSetName = "builtin",
    num_threads: NumThreads = 1,
    as_json: AsJSON = False,
    config: ConfigFile = None,
) -> None:
    """Give a knowledge base the keys of a model set's codecs; its images are not touched.

    `kb build` has done it for the set that it was given. This is for another one, trained later.
    """
    codecs = rekey(folder, ModelSet.find(model_set), num_threads=num_threads)
    if as_json:
        typer.echo(msgspec.json.encode({"codecs": codecs}).decode())
    else:
        print(f"{folder}: has keys of {', '.join(codecs)} of {model_set}, in place of any others of that name")


@app.command("export-keys", epilog="Example: semlink kb export-keys KB --out keys.npz")
def export_keys(
    folder: KBFolder,
    out: Annotated[Path, typer.Option(help="File to write.", show_default=False)],
    codec: Annotated[
        str | None, typer.Option(help="Of a codec with keys, so that they decide what is nearest.", show_default=False)
    ] = None,
    model_set: ModelSetName = "builtin",
    as_json: AsJSON = False,
    config: ConfigFile = None,
) -> None:
    """Write what a transmitter needs to find the entry itself, and send its number: `semlink tx --keys`.

    The file is bound to the entries and their order; export it anew after every change of the KB.
    """
    models = ModelSet.find(model_set)
    with KnowledgeBase.open(
        folder, models.encoder_fingerprint, encoder_name=models.manifest.encoder.name
    ) as knowledge_base:
        space, vectors = models.encoder_fingerprint, knowledge_base.features()
        if codec is not None:
            chosen = models.codec(codec)
            if not isinstance(chosen, NestedCodec) or chosen.entry.projection is None:
                raise ConfigError(f"{codec} works on features; leave --codec out")
            space = chosen.projection_fingerprint
            vectors = knowledge_base.keys(space)
        data = EntryCodebook.of(vectors, knowledge_base.fingerprint, space=space).to_bytes()
        num_entries = knowledge_base.num_entries
    try:
        with replaced_file(out, durable=True) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise KnowledgeBaseError(f"{out}: cannot be written: {error.strerror}") from None
    if as_json:
        typer.echo(msgspec.json.encode({"num_entries": num_entries, "num_bytes": len(data)}).decode())
    else:
        print(f"{out}: keys of {num_entries} entries, {len(data) / 1e6:.1f} MB")
