"""`semlink train encoder`: write image encoders into model sets, and measure them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from semlink.cli import options
from semlink.cli.option_groups import with_option_groups
from semlink.cli.output import notify, print_json, stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.cli.results import TO_TABLE, ReportOutput, command_line
from semlink.config import ConfigFile, parse_numbers, split_list
from semlink.errors import ConfigError, packages_of
from semlink.machine import num_cores
from trainer.encoders.registry import EncoderSource, load_encoder

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Write image encoders into model sets, and measure them.",
    epilog="Example: semlink train encoder export clip-vit-b32 --out models/clip",
)

_MAX_PIXEL = 255

ModelSetFolder = Annotated[Path, options.output("--out", help="Folder of the model set to write.")]
MeasuredDatasets = Annotated[
    str,
    options.source(
        "--measure", help="Comma-separated datasets on which accuracy is measured for the manifest, or folders."
    ),
]
DataFolder = Annotated[
    Path | None,
    options.source(
        "--data-folder", help="Folder of CIFAR-100; by default $SEMLINK_DATA, then the cache, then a download."
    ),
]
AllThreads = Annotated[
    int | None,
    options.engine("--threads", min=1, help="CPU threads of one network call; by default one for each core."),
]


@dataclass(frozen=True)
class Measurement:
    """Options of the measurement of a new model set."""

    measure: MeasuredDatasets = "digits"
    data_folder: DataFolder = None
    threads: AllThreads = None

    @property
    def num_threads(self) -> int:
        """CPU threads of one network call."""
        return self.threads or num_cores()


_MEASUREMENT = Measurement()


@app.command(
    epilog="""Examples:

semlink train encoder export builtin --out models/builtin --measure digits,cifar100

semlink train encoder export clip-vit-b32 --out models/clip

semlink train encoder export open_clip:MobileCLIP2-S0 --weights mobileclip2_s0.pt --out models/mobileclip"""
)
@with_option_groups
def export(
    name: Annotated[
        str,
        typer.Argument(
            help="builtin, clip-vit-b32, open_clip:ARCHITECTURE/PRETRAINED, open_clip:ARCHITECTURE with --weights, or"
            " an encoder that an installed package registers."
        ),
    ],
    out: ModelSetFolder,
    weights: Annotated[
        Path | None, options.models(help="Weights file of a CLIP encoder, in place of a download.")
    ] = None,
    measurement: Measurement = _MEASUREMENT,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Write an encoder by name as a model set without a codec, and measure it."""

    def load(progress: Progress) -> EncoderSource:
        return load_encoder(
            name,
            weights=weights,
            data_folder=measurement.data_folder,
            num_threads=measurement.num_threads,
            progress=progress,
        )

    _write(load, out, measurement, as_json=as_json)


@app.command(
    "import",
    epilog="""Examples:

semlink train encoder import vit.onnx --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --licence MIT --out models/vit

semlink train encoder import mine.onnx --output embedding --licence MIT --measure my-photos/ --out models/mine""",
)
@with_option_groups
def import_graph(
    graph: Annotated[
        Path,
        typer.Argument(
            help="ONNX file from RGB images (batch, 3, size, size) or (batch, size, size, 3), float32 or uint8, to"
            " features (batch, dim) float32."
        ),
    ],
    out: ModelSetFolder,
    licence: Annotated[str, options.models(help="Licence of the weights, for the manifest.")],
    name: Annotated[str | None, options.models(help="Name of the encoder; by default that of the file.")] = None,
    mean: Annotated[
        str | None,
        options.models(
            help="Mean of red, green and blue on the scale 0..1, for a graph of float32: its input is"
            " (pixel / 255 - mean) / std."
        ),
    ] = None,
    std: Annotated[
        str | None,
        options.models(help="Standard deviation of red, green and blue on the scale 0..1, for a graph of float32."),
    ] = None,
    size_px: Annotated[
        int | None, options.models(help="Side of the images in pixels, if the graph leaves it free.", min=1)
    ] = None,
    interpolation: Annotated[
        Literal["bicubic", "bilinear"], options.models(help="Filter with which images are resized.")
    ] = "bicubic",
    output: Annotated[str | None, options.models(help="Output with the features, if the graph has several.")] = None,
    training_data: Annotated[
        str, options.models(help="Training data of the weights, for the manifest.")
    ] = "not stated",
    measurement: Measurement = _MEASUREMENT,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Write any ONNX graph from images to features as a model set without a codec, and measure it.

    Normalisation and unit length are added in front of and behind the graph where it lacks them.
    """
    from trainer.encoders.onnx_encoder import OnnxEncoder

    encoder = OnnxEncoder(
        name=name or graph.stem,
        graph=graph,
        licence=licence,
        training_data=training_data,
        mean=_channels(mean, "--mean"),
        std=_channels(std, "--std"),
        size_px=size_px,
        interpolation=interpolation,
        output=output,
    )
    _write(lambda _: encoder, out, measurement, as_json=as_json)


@app.command("report-head", epilog="Example: semlink train encoder report-head --out head.json")
@with_option_groups
def report_head(
    num_seeds: options.NumSeeds = 5,
    data_folder: DataFolder = None,
    threads: AllThreads = None,
    report_output: ReportOutput = TO_TABLE,
    config: ConfigFile = None,
) -> None:
    """Compare heads of the built-in encoder on categories that they were not fitted to."""
    with packages_of("train", purpose="semlink train encoder"):
        from trainer.encoders.head_report import head_table, report_heads
    report_output.require_writable()
    with _progress() as progress:
        report = report_heads(
            seeds=range(num_seeds),
            command=command_line(),
            data_folder=data_folder,
            num_threads=threads or num_cores(),
            progress=progress,
        )
    report_output.deliver(report)
    if not report_output.as_json:
        stdout_console().print(head_table(report))


def _write(load: Callable[[Progress], EncoderSource], out: Path, measurement: Measurement, *, as_json: bool) -> None:
    """Load an encoder, write and measure it, and print its entry of the manifest."""
    with packages_of("train", purpose="semlink train encoder"):
        from trainer.encoders.measure import measure_model_set
    datasets = split_list(measurement.measure, "--measure")
    with _progress() as progress:
        model_set = load(progress).write(out)
        entry = measure_model_set(
            model_set,
            datasets,
            data_folder=measurement.data_folder,
            num_threads=measurement.num_threads,
            progress=progress,
        )
    if as_json:
        print_json(entry)
    figures = ", ".join(f"{key} {value:.3f}" for key, value in entry.measured.items())
    notify(stderr_console(), f"model set written to {out}: {figures}")


def _channels(text: str | None, option: str) -> tuple[float, float, float] | None:
    """Three values on the scale 0..1, as they are published, on the scale 0..255."""
    if text is None:
        return None
    values = parse_numbers(text, option)
    if len(values) != 3 or not all(0 <= value <= 1 for value in values):
        raise ConfigError(f"{option} takes red,green,blue on the scale 0..1, got {text}; divide them by 255")
    red, green, blue = (value * _MAX_PIXEL for value in values)
    return red, green, blue


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return progress_bars(stderr_console(), *columns, transient=True)
