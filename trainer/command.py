"""`semlink train`: encoders, codecs, and the model sets that they make up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from semlink.cli.output import notify, stderr_console
from semlink.cli.progress import progress_bars
from semlink.config import ConfigFile, split_list
from semlink.errors import MissingDependencyError
from semlink.rates import PAPER_RATES, parse_rate
from trainer.encoders.command import app as encoder_app

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Train codecs and export encoders into model sets.",
    epilog="Example: semlink train codec --data my-photos/ --out models/mine",
)
app.add_typer(encoder_app, name="encoder")

_ALL_RATES = ",".join(str(rate.num_symbols) for rate in PAPER_RATES)

_EPILOG = """Examples:

semlink train codec --data my-photos/ --codec nested,nested-labels --out models/mine

semlink train codec --data cifar100 --codec kbsc --num-symbols 64,128 --out models/kbsc"""


@app.command(epilog=_EPILOG)
def codec(
    out: Annotated[Path, typer.Option(help="Model set to write; may be the encoder's own.")],
    data: Annotated[
        str,
        typer.Option(help="cifar100, or a folder of class folders, or one that holds train/<class> and test/<class>."),
    ] = "cifar100",
    codecs: Annotated[
        str, typer.Option("--codec", help="Comma-separated, of nested, nested-labels, label, kbsc.")
    ] = "nested",
    num_symbols: Annotated[str, typer.Option(help="Rates of kbsc, as symbols or CBR.")] = _ALL_RATES,
    model_set: Annotated[str, typer.Option(help="Where the image encoder comes from.")] = "builtin",
    channel: Annotated[Literal["awgn", "rayleigh"], typer.Option(help="What to train kbsc for.")] = "awgn",
    seed: Annotated[int, typer.Option(help="Seed of weights, order, noise and split.")] = 0,
    epochs: Annotated[int, typer.Option(help="Most epochs of a run of kbsc.", min=1)] = 60,
    loss: Annotated[
        Literal["proxy", "contrastive"], typer.Option(help="What the keys of nested-labels and label learn by.")
    ] = "proxy",
    objective: Annotated[
        Literal["mse", "similarity", "both"],
        typer.Option(help="What kbsc keeps of the features: every number, whom they resemble, or both."),
    ] = "mse",
    precision: Annotated[Literal["bf16", "fp32"], typer.Option(help="Arithmetic.")] = "bf16",
    jobs: Annotated[
        int | None, typer.Option(help="Runs at a time; one a core if not given.", show_default=False)
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Where training runs are kept.", show_default=False)] = None,
    config: ConfigFile = None,
) -> None:
    """Train codecs for your images, and write a model set that a link can run.

    nested is one code for all rates and channels, for pictures of any kind. nested-labels is better where the
    categories are known beforehand, and of no use elsewhere; label sends nothing but the category. kbsc is the
    paper's network, one for each rate.

    Stop it at any time: the next start goes on where it was.
    """
    try:
        from trainer.codecs.model_set import CodecOptions, train_model_set
    except ImportError as error:
        raise MissingDependencyError.of(str(error.name), extra="train", purpose="semlink train") from None
    console = stderr_console()
    options = CodecOptions(
        codecs=tuple(dict.fromkeys(split_list(codecs, "--codec"))),
        rates=tuple(parse_rate(text) for text in split_list(num_symbols, "--num-symbols")),
        channel=channel,
        seed=seed,
        epochs=epochs,
        precision=precision,
        loss=loss,
        objective=objective,
    )
    with progress_bars(console) as progress:
        train_model_set(
            out,
            options,
            data=data,
            model_set=model_set,
            num_jobs=jobs or len(os.sched_getaffinity(0)),
            runs=runs,
            progress=progress,
        )
    notify(
        console,
        f"model set written to {out}; try it on pictures that it has not learnt from, such as those of test/:"
        f" semlink evaluate --data FOLDER --model-set {out} --codec {','.join(options.codecs)} --weights model-set",
    )
