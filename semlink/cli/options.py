"""Options that several commands share: one spelling, one meaning and one help text for each.

A command declares `threads: Threads = 2`; the option's name is fixed here, the default is the command's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ENGINE",
    "LINK",
    "MODELS",
    "OUTPUT",
    "SOURCE",
    "AsJson",
    "BatchSize",
    "Device",
    "EnginesFolder",
    "Jobs",
    "Limit",
    "ModelSetName",
    "NumSeeds",
    "OutFile",
    "Rate",
    "Rates",
    "RunsDir",
    "Seed",
    "Threads",
]

SOURCE = "Source"
LINK = "Link"
MODELS = "Models"
ENGINE = "Engine"
OUTPUT = "Output"
"""Titles of the panels into which `--help` sorts a command's options."""

ModelSetName = Annotated[
    str,
    typer.Option("--model-set", help="Model set: the name of a built-in one, or a folder.", rich_help_panel=MODELS),
]
Rate = Annotated[
    str,
    typer.Option("--rate", help="Complex symbols per image, such as 64, or a CBR, such as 1/48.", rich_help_panel=LINK),
]
Rates = Annotated[
    str,
    typer.Option("--rate", help="Comma-separated rates, as symbols per image or as CBR.", rich_help_panel=LINK),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Largest number of images to process.", rich_help_panel=SOURCE),
]
Threads = Annotated[
    int,
    typer.Option("--threads", min=1, help="CPU threads of one network or search call.", rich_help_panel=ENGINE),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        help="Training runs and measurements at the same time; one per CPU core by default.",
        rich_help_panel=ENGINE,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", min=1, help="Images that one network call processes.", rich_help_panel=ENGINE),
]
Device = Annotated[
    str,
    typer.Option("--device", help="Processor: cpu, gpu, gpu:N for GPU number N, or auto.", rich_help_panel=ENGINE),
]
EnginesFolder = Annotated[
    Path | None,
    typer.Option("--engines", help="Folder of built engines; by default beside the model set.", rich_help_panel=ENGINE),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")]
NumSeeds = Annotated[int, typer.Option("--num-seeds", min=1, help="Number of seeds: 0, 1, 2 ...")]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", help="Folder of training runs; by default in the cache.", rich_help_panel=OUTPUT),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print the result as JSON on standard output.", rich_help_panel=OUTPUT),
]
OutFile = Annotated[
    Path | None,
    typer.Option("--out", help="Write the result as JSON to this file.", rich_help_panel=OUTPUT),
]
