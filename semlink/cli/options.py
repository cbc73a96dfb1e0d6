"""Options that several commands share: one spelling, one meaning and one help text for each.

A command declares `threads: Threads = 2`; the option's name is fixed here, the default is the command's own.
"""

from __future__ import annotations

from functools import partial
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
    "SnrList",
    "Threads",
    "engine",
    "link",
    "models",
    "output",
    "source",
]

SOURCE = "Source"
LINK = "Link"
MODELS = "Models"
ENGINE = "Engine"
OUTPUT = "Output"
"""Titles of the panels into which `--help` sorts a command's options.

`--help`, `--config`, `--version` and those of completion, which say nothing of the task, stand in typer's own panel.
"""

source = partial(typer.Option, rich_help_panel=SOURCE)
link = partial(typer.Option, rich_help_panel=LINK)
models = partial(typer.Option, rich_help_panel=MODELS)
engine = partial(typer.Option, rich_help_panel=ENGINE)
output = partial(typer.Option, rich_help_panel=OUTPUT)
"""`typer.Option` in one of the panels, for an option that a single command has."""

ModelSetName = Annotated[str, models("--model-set", help="Model set: the name of a built-in one, or a folder.")]
Rate = Annotated[
    str, link("--rate", help="Complex symbols per image, such as 64, or their CBR for 32 x 32 pixels, such as 1/48.")
]
Rates = Annotated[str, link("--rate", help="Comma-separated rates, as symbols per image or as CBR for 32 x 32 pixels.")]
SnrList = Annotated[
    str,
    link(
        "--snr-db",
        help="Comma-separated Es/N0 in dB, such as -7,0,10.",
    ),
]
Limit = Annotated[int | None, source("--limit", min=1, help="Largest number of images to process.")]
Threads = Annotated[int, engine("--threads", min=1, help="CPU threads of one network or search call.")]
Jobs = Annotated[
    int | None,
    engine("--jobs", min=1, help="Training runs and measurements at the same time; one per CPU core by default."),
]
BatchSize = Annotated[int, engine("--batch-size", min=1, help="Images that one network call processes.")]
Device = Annotated[str, engine("--device", help="Processor: cpu, gpu, gpu:N for GPU number N, or auto.")]
EnginesFolder = Annotated[
    Path | None, engine("--engines", help="Folder of built engines; by default beside the model set.")
]
Seed = Annotated[int, link("--seed", min=0, help="Seed of all random numbers.")]
NumSeeds = Annotated[int, link("--num-seeds", min=1, help="Number of seeds: 0, 1, 2 ...")]
RunsDir = Annotated[Path | None, output("--runs-dir", help="Folder of training runs; by default in the cache.")]
AsJson = Annotated[bool, output("--json", help="Print the result as JSON on standard output.")]
OutFile = Annotated[Path | None, output("--out", help="Write the result as JSON to this file.")]
