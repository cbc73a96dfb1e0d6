"""`semlink train`: encoders, codecs, and the model sets that they make up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from semlink.config import ConfigFile, split_list
from semlink.errors import MissingDependencyError
from semlink.rates import PAPER_RATES, parse_rate
from trainer.encoders.command import app as encoder_app

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Train codecs and export encoders into model sets.",
    epilog="Example: semlink train codec --data cifar100 --num-symbols 64,128 --out models/mine",
)
app.add_typer(encoder_app, name="encoder")

_ALL_RATES = ",".join(str(rate.num_symbols) for rate in PAPER_RATES)


@app.command(epilog="Example: semlink train codec --data cifar100 --num-symbols 64,128 --out models/mine")
def codec(
    out: Annotated[
        Path, typer.Option(help="Model set to write, its codec and all its rates anew; may be the encoder's own.")
    ],
    data: Annotated[
        str, typer.Option(help="cifar100, or a folder that holds train/<class> and test/<class>.")
    ] = "cifar100",
    num_symbols: Annotated[str, typer.Option(help="Rates, as symbols or CBR.")] = _ALL_RATES,
    model_set: Annotated[str, typer.Option(help="Where the image encoder comes from.")] = "builtin",
    channel: Annotated[Literal["awgn", "rayleigh"], typer.Option(help="What to train for.")] = "awgn",
    seed: Annotated[int, typer.Option(help="Seed of weights, order, noise and split.")] = 0,
    epochs: Annotated[int, typer.Option(help="Most epochs of a run.", min=1)] = 60,
    precision: Annotated[Literal["bf16", "fp32"], typer.Option(help="Arithmetic.")] = "bf16",
    jobs: Annotated[
        int | None, typer.Option(help="Runs at a time; one a core if not given.", show_default=False)
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Where training runs are kept.", show_default=False)] = None,
    config: ConfigFile = None,
) -> None:
    """Train the honest kbsc codec, a network for each rate, and write a model set that a link can run.

    Stop it at any time: the next start goes on where it was.
    """
    try:
        from trainer.codecs.model_set import train_model_set
    except ImportError as error:
        raise MissingDependencyError.of(str(error.name), extra="train", purpose="semlink train") from None
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        train_model_set(
            out,
            data=data,
            rates=[parse_rate(text) for text in split_list(num_symbols, "--num-symbols")],
            model_set=model_set,
            channel=channel,
            seed=seed,
            epochs=epochs,
            precision=precision,
            num_jobs=jobs or len(os.sched_getaffinity(0)),
            runs=runs,
            progress=progress,
        )
    console.print(f"model set written to {out}; try: semlink evaluate --model-set {out} --weights model-set")
