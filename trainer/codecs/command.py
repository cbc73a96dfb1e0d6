"""`semlink codecs`: the table of codecs."""

from __future__ import annotations

import msgspec
import typer
from rich.table import Table

from engines.models.model_set import BUILTIN_MODEL_SETS, ModelSet
from semlink.cli.options import AsJson
from semlink.cli.output import print_json, stdout_console
from trainer.codecs.spec import CodecSpec
from trainer.codecs.table import codec_names, find_codec

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Show the codecs that are installed.")


class CodecRow(msgspec.Struct, frozen=True, kw_only=True):
    """A codec as `semlink codecs list --json` prints it; the names are those of `CodecSpec`.

    Attributes
    ----------
    needs : what it needs besides images to send and a knowledge base at the receiver
    fitted_for : axes along which its models differ; empty if nothing is fitted
    modules : optional Python modules that it imports
    builtin_model_sets : those that hold its model
    """

    name: str
    summary: str
    needs: list[str]
    model_of: str | None
    fitted_for: list[str]
    trainable: bool
    modules: list[str]
    builtin_model_sets: list[str]


@app.callback()
def _codecs() -> None:
    """Keep `list` a subcommand: typer would make a single command the application itself."""


@app.command("list", epilog="Example: semlink codecs list --json")
def list_codecs(as_json: AsJson = False) -> None:
    """List every codec with what it needs, whether it can be trained, and which built-in model sets have its model."""
    rows = codec_rows()
    if as_json:
        print_json(rows)
        return
    table = Table("codec", "summary", "needs", "trainable", "built-in model sets")
    for row in rows:
        is_trainable = "yes" if row.trainable else ""
        table.add_row(row.name, row.summary, ", ".join(row.needs), is_trainable, ", ".join(row.builtin_model_sets))
    stdout_console().print(table)


def codec_rows() -> list[CodecRow]:
    """Facts of every codec."""
    held = _codecs_by_model_set()
    return [_row(find_codec(name), held) for name in codec_names()]


def _row(codec: CodecSpec, held: dict[str, set[str]]) -> CodecRow:
    model = codec.model_of or codec.name
    return CodecRow(
        name=codec.name,
        summary=codec.summary,
        needs=[need.value for need in codec.needs],
        model_of=codec.model_of,
        fitted_for=list(codec.fitted_for) if codec.fit else [],
        trainable=codec.is_trainable,
        modules=list(dict.fromkeys([*codec.modules, *codec.fit_modules])),
        builtin_model_sets=[name for name, codecs in held.items() if model in codecs],
    )


def _codecs_by_model_set() -> dict[str, set[str]]:
    folders = sorted(path.parent for path in BUILTIN_MODEL_SETS.glob("*/manifest.json"))
    return {folder.name: {codec.name for codec in ModelSet(folder).codecs} for folder in folders}
