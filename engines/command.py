"""`semlink engine`: build, list, time and check what runs a model set's graphs on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from engines.bench import EngineBench, precision_loss, time_transmitter
from engines.build_progress import build_progress
from engines.encoder_precision import default_store
from engines.factory import EngineFactory
from engines.graphs.quantize import Tensor
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from semlink.cli.output import stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.cli.summary import print_counts, print_latency
from semlink.config import ConfigFile
from semlink.errors import ConfigError, ImageError
from semlink.image import Preprocessing, image_files, load_image, preprocess
from semlink.machine import (
    describe_device,
    installed_versions,
    machine_state,
    now_utc,
    require_writable,
    write_report,
)
from semlink.rates import Rate, parse_rate

__all__ = ["app"]

_log = logging.getLogger(__name__)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Engines: a model set's graphs as this machine runs them best.",
    epilog="Example: semlink engine build --precision int8 --calibrate photos && semlink tx photos --precision int8",
)

ModelSetName = Annotated[str, typer.Option(help="Built-in model set's name, or a folder.")]
Engines = Annotated[
    Path | None, typer.Option(help="Where engines are kept; beside the model set if not given.", show_default=False)
]
Backend = Annotated[str, typer.Option(help="onnxruntime, onnxruntime-tensorrt, tensorrt, or auto.")]
Device = Annotated[str, typer.Option(help="cpu, gpu, gpu:N for the N-th from 0, or auto.")]
CodecName = Annotated[str | None, typer.Option(help="The set's first if not given.", show_default=False)]
RateName = Annotated[str, typer.Option(help="Symbols per image, or the CBR on CIFAR-100.")]
NumThreads = Annotated[int, typer.Option(min=1, help="CPU threads of the engine.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

_MOST_CALIBRATION_PICTURES = 256


@app.command(epilog="Example: semlink engine build --precision int8 --calibrate photos")
def build(
    model_set: ModelSetName = "builtin",
    backend: Backend = "auto",
    device: Device = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the image encoder.")] = Precision.FP16,
    calibrate: Annotated[
        Path | None, typer.Option(help="Folder of pictures like those of the link, for int8.", show_default=False)
    ] = None,
    codec: CodecName = None,
    rate: RateName = "1/48",
    engines: Engines = None,
    force: Annotated[bool, typer.Option("--force", help="Build it anew, such as for other pictures.")] = False,
    config: ConfigFile = None,
) -> None:
    """Build what `tx --precision` runs, and keep it: an int8 of convolutions from pictures, or TensorRT's engine."""
    models = ModelSet.find(model_set)
    if codec is not None:
        models.codec(codec)  # a name that the set lacks is said, though not every backend builds a codec
    factory = EngineFactory(models, EngineOptions(backend=backend, device=device, precision=precision, engines=engines))
    if precision is Precision.FP32 and not factory.target.builds:
        raise ConfigError("fp32 is what the model set holds, and ONNX Runtime runs it as it is: nothing to build")
    size = models.manifest.encoder.preprocessing
    files = image_files(calibrate)[:_MOST_CALIBRATION_PICTURES] if calibrate else []
    console = stderr_console()
    with progress_bars(console, transient=True) as progress:
        pictures = list(_readable(progress.track(files, description="reading pictures"), size))
    if precision is not Precision.FP32:
        with console.status(f"rewriting {models.name} in {precision.value}"):
            factory.build_encoder(pictures, rebuild=force)
    if factory.target.builds:
        _build_engine(factory, parse_rate(rate), codec, console, rebuild=force)
    print(f"{factory.store.folder}: {precision.value} of {models.name} for {factory.target}")


@app.command(epilog="Example: semlink engine info --json")
def info(model_set: ModelSetName = "builtin", engines: Engines = None, as_json: AsJSON = False) -> None:
    """List the engines that were built for a model set."""
    store = default_store(ModelSet.find(model_set), engines)
    stored = list(store.all())
    if as_json:
        typer.echo(msgspec.json.encode(stored).decode())
        return
    table = Table("precision", "backend", "device", "version", "MB", "built", "took, s", "")
    for engine in stored:
        key = engine.key
        table.add_row(
            f"{key.precision} {key.options}".strip(),
            key.backend,
            key.device,
            key.version,
            f"{engine.num_bytes / 1e6:.1f}",
            engine.built,
            f"{engine.build_s:.1f}",
            "" if store.is_whole(key) else "damaged: it will be built anew",
        )
    stdout_console().print(table)


@app.command(epilog="Example: semlink engine bench --precision int8 --runs 1000 --json bench.json")
def bench(
    model_set: ModelSetName = "builtin",
    codec: CodecName = None,
    rate: RateName = "1/48",
    backend: Backend = "auto",
    device: Device = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the image encoder.")] = Precision.FP32,
    num_threads: NumThreads = 2,
    runs: Annotated[int, typer.Option(min=1, help="Pictures to time, after a warm-up.")] = 200,
    image: Annotated[
        Path | None, typer.Option(help="Picture; noise of 1280 x 720 if not given.", show_default=False)
    ] = None,
    engines: Engines = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report here.", show_default=False)] = None,
    config: ConfigFile = None,
) -> None:
    """Time a picture in memory to codes: p50, p95, p99 and p99.9, one picture at a time."""
    models, parsed = ModelSet.find(model_set), parse_rate(rate)
    if json_path is not None:
        require_writable(json_path)
    options = EngineOptions(
        backend=backend, device=device, precision=precision, num_threads=num_threads, engines=engines
    )
    factory = EngineFactory(models, options)
    graph = factory.transmitter_graph(parsed, codec=codec)
    with build_progress(stderr_console()) as progress:
        runner = factory.load(graph.onnx, report=progress)
    picture = load_image(image) if image else np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    stages = time_transmitter(
        picture, models.manifest.encoder.preprocessing, runner, graph.slices[parsed], num_runs=runs
    )
    state = machine_state() if json_path is not None else None
    report = EngineBench(
        date=now_utc(),
        device=describe_device(),
        versions=installed_versions(),
        engine=runner.description,
        model_set=models.name,
        codec=graph.codec.name,
        precision=precision.value,
        picture_px=(picture.shape[1], picture.shape[0]),
        latency_ms=stages,
        machine_state=state,
    )
    if json_path is not None:
        write_report(report, json_path)
    print_latency(
        f"{models.name} {graph.codec.name} {precision.value}, {runner.description}", stages, console=stdout_console()
    )


@app.command(epilog="Example: semlink engine verify photos --precision int8")
def verify(
    folder: Annotated[Path, typer.Argument(help="Pictures like those of the link.")],
    model_set: ModelSetName = "builtin",
    codec: CodecName = None,
    rate: RateName = "1/48",
    backend: Backend = "auto",
    device: Device = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the image encoder.")] = Precision.FP16,
    num_threads: NumThreads = 2,
    count: Annotated[int, typer.Option(min=1, help="Most pictures to look at.")] = 200,
    engines: Engines = None,
    as_json: AsJSON = False,
    config: ConfigFile = None,
) -> None:
    """Say how far a precision is from fp32 in ONNX Runtime on the CPU: features, symbols and codes."""
    models, parsed = ModelSet.find(model_set), parse_rate(rate)
    options = EngineOptions(
        backend=backend, device=device, precision=precision, num_threads=num_threads, engines=engines
    )
    tested = EngineFactory(models, options)
    reference = EngineFactory(models, replace(options, backend="onnxruntime", device="cpu", precision=Precision.FP32))
    graphs = [factory.transmitter_graph(parsed, codec=codec) for factory in (tested, reference)]
    with build_progress(stderr_console()) as progress:
        encoder = tested.load(tested.vectors_graph(), report=progress)
        transmitter = tested.load(graphs[0].onnx, report=progress)
    loss = precision_loss(
        [load_image(path) for path in image_files(folder)[:count]],
        models.manifest.encoder.preprocessing,
        encoders=(encoder, reference.load(reference.vectors_graph())),
        transmitters=(transmitter, reference.load(graphs[1].onnx)),
        codes_slice=graphs[0].slices[parsed],
    )
    if as_json:
        typer.echo(msgspec.json.encode(loss).decode())
        return
    print_counts(f"{models.name} {precision.value} beside fp32", msgspec.structs.asdict(loss), console=stdout_console())


def _readable(paths: Iterable[Path], preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Pictures as the encoder takes them; one that cannot be read is skipped, and told."""
    for path in paths:
        try:
            yield preprocess(load_image(path), preprocessing)
        except ImageError as error:
            _log.warning("skipped: %s", error)


def _build_engine(factory: EngineFactory, rate: Rate, codec: str | None, console: Console, *, rebuild: bool) -> None:
    graph = factory.transmitter_graph(rate, codec=codec)
    with build_progress(console) as report:
        # What is loaded goes again by itself, with the last reference.
        factory.load(graph.onnx, report=report, rebuild=rebuild)
