"""`semlink kb`: build, describe, verify and search a knowledge base; project its vectors."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Column, Table

from edge_rx.codebook.command import KBFolder
from edge_rx.codebook.command import app as codebook_app
from edge_rx.codebook.knowledge_base import codebook_of
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.manifest import Manifest, read_manifest
from edge_rx.kb.project import project_knowledge_base
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cli import options
from semlink.cli.output import print_json, stdout_console
from semlink.config import ConfigFile
from semlink.errors import KnowledgeBaseError
from semlink.image import load_image

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Knowledge bases: the images that a receiver can answer with.",
    epilog="Example: semlink kb build my-photos --out my-kb && semlink kb search my-kb picture.jpg",
)

app.add_typer(codebook_app)

_NO_CODEBOOK = "none; semlink kb make-codebook makes one"


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
    manifest = read_manifest(out)
    (codebook, *_) = manifest.codebooks
    if as_json:
        described = {**msgspec.structs.asdict(codebook), "kind": codebook.kind, "path": str(out / codebook.file)}
        print_json({**dataclasses.asdict(report), "fingerprint": manifest.fingerprint.hex(), "codebook": described})
        return
    print(f"{out}: {report.num_entries} entries, {len(report.skipped)} images skipped; codebook {codebook.description}")
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
        "codebooks": "\n".join(each.description for each in manifest.codebooks)
        or "none; semlink kb make-codebook makes one",
    }
    return [(name, lists.get(name, str(value))) for name, value in msgspec.structs.asdict(manifest).items()]


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
