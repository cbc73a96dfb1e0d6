"""`semlink models`: the model sets that are here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Column, Table

from engines.models.model_set import BUILTIN_MODEL_SETS, ModelSet
from semlink.cli.options import MODELS, AsJson
from semlink.cli.output import stdout_console
from semlink.errors import ModelSetError

__all__ = ["CodecSummary", "ModelSetSummary", "app", "summarize_model_set"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List model sets and what they hold.")


class CodecSummary(msgspec.Struct, frozen=True):
    """A codec of a model set, and the rates that it has, in symbols an image."""

    name: str
    rates: tuple[int, ...]
    licence: str
    training_data: str


class ModelSetSummary(msgspec.Struct, frozen=True):
    """Summary of a model set; `size_bytes` is the size of the files in its manifest."""

    name: str
    folder: str
    encoder: str
    feature_dim: int
    image_size_px: int
    licence: str
    training_data: str
    codecs: tuple[CodecSummary, ...]
    size_bytes: int


@app.callback()
def _group() -> None:
    """List model sets and what they hold."""


@app.command("list", epilog="Example: semlink models list models/mine --json")
def list_models(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders of further model sets.", rich_help_panel=MODELS)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the built-in model sets, and those in folders: encoder, codecs, rates, licence, size."""
    builtin = sorted(manifest.parent for manifest in BUILTIN_MODEL_SETS.glob("*/manifest.json"))
    summaries = [summarize_model_set(ModelSet(folder)) for folder in (*builtin, *(folders or ()))]
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(summaries)).decode())
    else:
        stdout_console().print(_table(summaries))


def summarize_model_set(models: ModelSet) -> ModelSetSummary:
    """Summarise a model set by its manifest; ModelSetError if one of its files is missing."""
    encoder, entries = models.manifest.encoder, models.manifest.codecs
    files = {encoder.graph, *(file for entry in entries for file in entry.files)}
    return ModelSetSummary(
        name=models.name,
        folder=str(models.folder),
        encoder=encoder.name,
        feature_dim=encoder.feature_dim,
        image_size_px=encoder.preprocessing.size_px,
        licence=encoder.licence,
        training_data=encoder.training_data,
        codecs=tuple(
            CodecSummary(
                codec.name, tuple(rate.num_symbols for rate in codec.rates), entry.licence, entry.training_data
            )
            for codec, entry in zip(models.codecs, entries, strict=True)
        ),
        size_bytes=sum(_size_bytes(models.folder / file.file) for file in files),
    )


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ModelSetError(f"{path}: {error.strerror}; the model set is incomplete") from None


def _table(summaries: Iterable[ModelSetSummary]) -> Table:
    columns = ("model set", "encoder", "codec", "symbols an image", "licence", "MB", "folder")
    table = Table(*(Column(name, overflow="fold") for name in columns))
    for summary in summaries:
        first = [summary.name, summary.encoder]
        last = [f"{summary.size_bytes / 1e6:.1f}", summary.folder]
        for codec in summary.codecs or (CodecSummary("none", (), summary.licence, ""),):
            rates = ", ".join(map(str, codec.rates)) or "-"
            licences = " and ".join(dict.fromkeys((summary.licence, codec.licence)))
            table.add_row(*map(escape, (*first, codec.name, rates, licences, *last)))
            first, last = [""] * len(first), [""] * len(last)
    return table
