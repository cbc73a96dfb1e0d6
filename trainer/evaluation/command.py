"""`semlink evaluate`: accuracy of codecs over rates, SNRs, channels and seeds."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from semlink.channel import ChannelModel
from semlink.cli.output import notify, stderr_console, stdout_console
from semlink.config import ConfigFile, parse_numbers, split_list
from semlink.constellation import Constellation
from semlink.errors import ConfigError, MissingDependencyError
from semlink.machine import require_writable, write_report
from semlink.rates import parse_rate

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_CODECS = (
    *("nested", "nested-feedback", "nested-labels", "index", "index-labels", "kbsc", "kbsc-reference"),
    *("label", "vq", "vq-residual", "vq-product", "uncoded", "index-polar", "bpg-ldpc", "deepjscc"),
)

_EPILOG = """Examples:

semlink evaluate --data digits --num-symbols 64 --snr-db=-7,0,10

semlink evaluate --data cifar100 --codec kbsc,kbsc-reference --num-symbols 64,256 --seeds 3 --json out.json"""


@app.command(short_help="Measure codecs over rates, SNRs, channels and seeds.", epilog=_EPILOG)
def evaluate(
    data: Annotated[str, typer.Option(help="digits, photos, cifar100, or a folder.")] = "digits",
    codec: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(_CODECS)}.")] = "nested",
    num_symbols: Annotated[str, typer.Option(help="Rates, as symbols or CBR.")] = "64",
    snr_db: Annotated[str, typer.Option(help="Es/N0 in dB; write --snr-db=-7,0,10.")] = "-7,0,10",
    channel: Annotated[str, typer.Option(help=f"Of {', '.join(ChannelModel)}.")] = "awgn",
    seeds: Annotated[int, typer.Option(help="How many seeds: 0, 1, 2 ...", min=1)] = 3,
    train_data: Annotated[
        str | None, typer.Option(help="What to train on; --data if not given.", show_default=False)
    ] = None,
    train_channel: Annotated[
        Literal["awgn", "rayleigh"] | None,
        typer.Option(help="What to train kbsc on; what suits each channel if not given.", show_default=False),
    ] = None,
    weights: Annotated[
        Literal["auto", "trained", "model-set"],
        typer.Option(help="trained: codecs for each seed; model-set: its own; auto: trained on cifar100."),
    ] = "auto",
    model_set: Annotated[
        str, typer.Option(help="Where the encoder, and the codecs of model-set, come from.")
    ] = "builtin",
    pilots: Annotated[int, typer.Option(help="Pilots of an honest receiver under block fading.", min=1)] = 8,
    csi: Annotated[
        Literal["pilots", "genie", "none"],
        typer.Option(help="What the receiver knows of a block's gain; genie is a bound, none assumes 1."),
    ] = "pilots",
    constellation: Annotated[
        Constellation | None, typer.Option(help="Points of a digital radio; any if not given.", show_default=False)
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Send at most so many, evenly from all.", show_default=False, min=1)
    ] = None,
    epochs: Annotated[int, typer.Option(help="Most epochs of a training run.", min=1)] = 60,
    precision: Annotated[Literal["bf16", "fp32"], typer.Option(help="Training arithmetic.")] = "bf16",
    jobs: Annotated[
        int | None, typer.Option(help="Runs and links at a time; one a core if not given.", show_default=False)
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Where training runs are kept.", show_default=False)] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report here.", show_default=False)] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw here; beside --json if not given.", show_default=False)
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Measure codecs over a grid, without sockets, through the graphs and functions of the link.

    Stop it at any time: the next start of the same command goes on where it was.
    """
    try:
        from trainer.evaluation.grid import Grid
        from trainer.evaluation.run import run_evaluation
        from trainer.links.graph_link import Csi
    except ImportError as error:
        raise MissingDependencyError.of(str(error.name), extra="train", purpose="semlink evaluate") from None
    from trainer.evaluation.plot import plot_report
    from trainer.evaluation.report import summary_table

    console = stderr_console()
    if json_path is not None:
        require_writable(json_path)  # before hours of work, not after them
    try:
        report = run_evaluation(
            Grid(
                codecs=_choices(codec, "--codec", _CODECS),
                rates=tuple(dict.fromkeys(parse_rate(text) for text in split_list(num_symbols, "--num-symbols"))),
                channels=tuple(ChannelModel(name) for name in _choices(channel, "--channel", tuple(ChannelModel))),
                snr_db=tuple(dict.fromkeys(parse_numbers(snr_db, "--snr-db"))),
                seeds=tuple(range(seeds)),
                num_pilots=pilots,
                csi=Csi(csi),
                trained_on=train_channel,
                constellation=constellation,
            ),
            data=data,
            train_data=train_data,
            model_set=model_set,
            weights=weights,
            count=count,
            epochs=epochs,
            precision=precision,
            num_jobs=jobs or len(os.sched_getaffinity(0)),
            runs=runs,
            command=shlex.join(["semlink", *sys.argv[1:]]),
            console=console,
            deliver=lambda report: None if json_path is None else write_report(report, json_path),
        )
    except KeyboardInterrupt:
        notify(console, "stopped; what was measured is kept: the same command goes on from there")
        raise
    stdout_console().print(summary_table(report))
    if json_path is not None:
        plot = plot or json_path.with_suffix(".png")
    if plot is not None:
        plot_report(report, plot)


def _choices(text: str, option: str, known: tuple[str, ...]) -> tuple[str, ...]:
    values = split_list(text, option)
    for value in values:
        if value not in known:
            raise ConfigError(f'{option} does not know "{value}"; choose from: {", ".join(known)}')
    return values
