"""`semlink train`: encoders, codecs, and the model sets that they make up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semlink.cli import options
from semlink.cli.output import notify, stderr_console
from semlink.cli.progress import progress_bars
from semlink.config import ConfigFile, split_list
from semlink.errors import packages_of
from semlink.machine import num_cores
from semlink.rates import PAPER_RATES, parse_rate
from trainer.codecs.config import Objective, Precision, ProjectionLoss, TrainingChannel
from trainer.codecs.table import BUILTIN_CODECS
from trainer.encoders.command import app as encoder_app

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Train codecs and export image encoders into model sets.",
    epilog="Example: semlink train codec --data my-photos/ --out models/mine",
)
app.add_typer(encoder_app, name="encoder")

_ALL_RATES = ",".join(str(rate.num_symbols) for rate in PAPER_RATES)
_TRAINABLE = ", ".join(codec.name for codec in BUILTIN_CODECS if codec.is_trainable)

_EPILOG = """Examples:

semlink train codec --data my-photos/ --codec nested,nested-cells,nested-labels --out models/mine

semlink train codec --data cifar100 --codec kbsc --rate 64,128 --out models/kbsc"""


@app.command(epilog=_EPILOG)
def codec(
    out: Annotated[Path, options.output(help="Folder of the model set to write; it may be that of --model-set.")],
    data: Annotated[
        str,
        options.source(help="Training images: cifar100, a folder of class folders, or one that holds train/<class>."),
    ] = "cifar100",
    codecs: Annotated[
        str,
        options.models(
            "--codec", help=f"Comma-separated codecs, of {_TRAINABLE} and trainable ones of installed packages."
        ),
    ] = "nested",
    rate: options.Rates = _ALL_RATES,
    model_set: options.ModelSetName = "builtin",
    channel: Annotated[TrainingChannel, options.link(help="Channel on which kbsc is trained.")] = "awgn",
    loss: Annotated[
        ProjectionLoss, options.models(help="Loss of the projection head of nested-labels and label.")
    ] = "proxy",
    objective: Annotated[
        Objective,
        options.models(
            help="Training loss of kbsc: squared error of the features, similarities to other images, or both."
        ),
    ] = "mse",
    epochs: Annotated[int, options.models(help="Largest number of epochs of a run of kbsc.", min=1)] = 60,
    seed: options.Seed = 0,
    precision: Annotated[Precision, options.engine(help="Arithmetic of matrix products in training.")] = "bf16",
    jobs: options.Jobs = None,
    runs_dir: options.RunsDir = None,
    config: ConfigFile = None,
) -> None:
    """Train codecs for your images, and write a model set that a link can run.

    nested is one code for all rates and channels, for pictures of any kind. nested-cells adds codewords, for pictures
    like the training images; nested-labels is better still where the
    categories are known beforehand, and unsuitable for others; label sends nothing but the category. kbsc is the
    network of arXiv 2504.01053, one for each rate.

    An interrupted training is continued by the next start of the same command.
    """
    with packages_of("train", purpose="semlink train"):
        from trainer.model_set_training import ModelSetConfig, train_model_set
    console = stderr_console()
    settings = ModelSetConfig(
        out=out,
        codecs=split_list(codecs, "--codec"),
        rates=tuple(parse_rate(text) for text in split_list(rate, "--rate")),
        channel=channel,
        data=data,
        model_set=model_set,
        seed=seed,
        epochs=epochs,
        precision=precision,
        projection_loss=loss,
        objective=objective,
        num_jobs=jobs or num_cores(),
        runs_dir=runs_dir,
    )
    with progress_bars(console) as progress:
        train_model_set(settings, progress=progress)
    notify(
        console,
        f"model set written to {out}; evaluate it on images that it was not trained on, such as those of test/:"
        f" semlink evaluate --data FOLDER --model-set {out} --codec {','.join(settings.codecs)} --weights model-set",
    )
