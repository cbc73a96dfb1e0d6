"""`semlink engine`: build, list, time and check what runs a model set's graphs on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from engines.agreement import Verification, VerificationReport, tolerance
from engines.backends.runner import require_backend
from engines.backends.target import CPU, Target
from engines.bench import bench_report, time_transmitter
from engines.build_progress import build_progress
from engines.encoder_precision import default_store, split_images
from engines.factory import EngineFactory
from engines.graphs.quantize import Tensor
from engines.models.model_set import ModelSet
from engines.options import Backend, EngineOptions, Precision
from engines.verification import verify_engine
from semlink.cli import options
from semlink.cli.option_groups import with_option_groups
from semlink.cli.output import stderr_console, stdout_console
from semlink.cli.progress import progress_bars
from semlink.cli.results import TO_TABLE, ReportOutput, command_line
from semlink.cli.summary import print_counts, print_latency
from semlink.config import ConfigFile
from semlink.errors import ConfigError, EngineError, ImageError
from semlink.image import Preprocessing, image_files, load_image, preprocess
from semlink.rates import Rate as SymbolRate
from semlink.rates import parse_rate
from semlink.report import Setting, provenance

__all__ = ["app"]

_log = logging.getLogger(__name__)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Engines: a model set's graphs as this machine runs them best.",
    epilog="Example: semlink engine build --precision int8 --calibrate photos && semlink tx photos --precision int8",
)

BackendName = Annotated[Backend, options.engine("--backend", help="Backend of the image encoder and the codec.")]
EncoderPrecision = Annotated[Precision, options.engine("--precision", help="Arithmetic of the image encoder.")]
CodecName = Annotated[str | None, options.models("--codec", help="Codec of the model set; its first by default.")]


@dataclass(frozen=True)
class EngineChoice:
    """Options of the commands that build, time and check engines: what is run, and how."""

    rate: options.Rate = "1/48"
    model_set: options.ModelSetName = "builtin"
    codec: CodecName = None
    backend: BackendName = "auto"
    device: options.Device = "auto"
    precision: EncoderPrecision = Precision.FP32
    threads: options.Threads = 2
    engines: options.EnginesFolder = None

    def engine_options(self) -> EngineOptions:
        """Backend, device and arithmetic, as the factory takes them."""
        return EngineOptions(self.backend, self.device, self.precision, num_threads=self.threads, engines=self.engines)

    def settings(self, models: ModelSet, *, engine: str, codec: str | None) -> dict[str, Setting]:
        """What a report states of the choice; `engine` and `codec` are those that ran."""
        return {
            "engine": engine,
            "model_set": models.name,
            "codec": codec,
            "num_symbols": parse_rate(self.rate).num_symbols,
            "precision": self.precision.value,
        }


_FP32 = EngineChoice()
_FP16 = EngineChoice(precision=Precision.FP16)

_MOST_IMAGES = 320
"""To calibrate int8 on, and a fifth of them to verify it on."""


@app.command(epilog="Example: semlink engine build --precision int8 --calibrate photos")
@with_option_groups
def build(
    calibrate: Annotated[
        Path | None,
        options.source(help="Folder of images like those of the link: int8 is calibrated and verified on them."),
    ] = None,
    choice: EngineChoice = _FP16,
    force: Annotated[bool, options.engine("--force", help="Rebuild the engine, such as for other images.")] = False,
    config: ConfigFile = None,
) -> None:
    """Build and store what `tx` runs: fp16, int8 that is verified on this processor, or TensorRT's engine."""
    models, rate, precision = ModelSet.find(choice.model_set), parse_rate(choice.rate), choice.precision
    if choice.codec is not None:
        models.codec(choice.codec)  # an unknown name is refused, though not every backend builds a codec
    engine_options = choice.engine_options()
    factory = EngineFactory(models, engine_options)
    if precision is Precision.FP32 and not factory.target.builds:
        raise ConfigError("fp32 is what the model set holds, and ONNX Runtime runs it as it is: nothing to build")
    require_backend(factory.target)
    if precision is Precision.INT8 and not calibrate:
        if force or not factory.is_encoder_built:
            raise ConfigError("int8 needs --calibrate FOLDER: images like those of the link")
        factory.require_verified()
    console = stderr_console()
    images = _images(calibrate, _MOST_IMAGES, models, console) if calibrate else []
    held_out: list[Tensor] = []
    if precision is Precision.INT8 and calibrate:
        images, held_out = split_images(images)
    if precision is not Precision.FP32:
        with console.status(f"rewriting {models.name} in {precision.value}"):
            factory.build_encoder(images, rebuild=force)
    if factory.target.builds:
        _build_engine(factory, rate, choice.codec, console, rebuild=force)
    # The rewritten graph is what every backend reads; engines and int8 are of one target.
    is_graph_alone = precision is Precision.FP16 and not factory.target.builds
    target = "every backend and device" if is_graph_alone else factory.target
    print(f"{factory.store.folder}: {precision.value} of {models.name} for {target}")
    if held_out:
        with build_progress(console) as on_progress:
            found = verify_engine(
                models, engine_options, held_out, rate=rate, codec=choice.codec, on_progress=on_progress
            )
        _print_verification(found, models, precision)
        _judge(found, models, factory.target, precision)


@app.command(epilog="Example: semlink engine info --json")
def info(
    model_set: options.ModelSetName = "builtin", engines: options.EnginesFolder = None, as_json: options.AsJson = False
) -> None:
    """List the engines that were built for a model set."""
    models = ModelSet.find(model_set)
    store = default_store(models, engines)
    stored = list(store.all())
    if as_json:
        typer.echo(msgspec.json.encode(stored).decode())
        return
    if not stored:
        typer.echo(f"no engine was built for {models.name}; semlink engine build")
        return
    table = Table("precision", "backend", "device", "version", "MB", "built", "took, s", "agrees", "ms", "fp32 ms")
    table.add_column("state")
    for engine in stored:
        key, found = engine.key, engine.verification
        table.add_row(
            f"{key.precision} {key.options}".strip(),
            key.backend,
            key.device,
            key.version,
            f"{engine.num_bytes / 1e6:.1f}",
            engine.built,
            f"{engine.build_s:.1f}",
            f"{found.feature_cosine:.4f}" if found else "",
            f"{found.latency_ms:.2f}" if found else "",
            f"{found.fp32_latency_ms:.2f}" if found else "",
            "whole" if store.is_whole(key) else "damaged: it will be rebuilt",
        )
    stdout_console().print(table)


@app.command(epilog="Example: semlink engine bench --precision int8 --runs 1000 --out bench.json")
@with_option_groups
def bench(
    image: Annotated[
        Path | None, options.source(help="Image to encode; noise of 1280 x 720 pixels by default.")
    ] = None,
    runs: Annotated[int, options.source(min=1, help="Number of timed calls, after a warm-up.")] = 200,
    choice: EngineChoice = _FP32,
    report_output: ReportOutput = TO_TABLE,
    config: ConfigFile = None,
) -> None:
    """Time an image in memory to codes: p50, p95, p99 and p99.9, one image at a time."""
    models, rate, precision = ModelSet.find(choice.model_set), parse_rate(choice.rate), choice.precision
    report_output.require_writable()
    factory = EngineFactory(models, choice.engine_options())
    graph = factory.transmitter_graph(rate, codec=choice.codec)
    with build_progress(stderr_console()) as on_progress:
        runner = factory.load(graph.onnx, on_progress=on_progress)
    picture = load_image(image) if image else np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    stages = time_transmitter(
        picture, models.manifest.encoder.preprocessing, runner, graph.code.slices[rate], num_runs=runs
    )
    if report_output.is_wanted:
        settings = choice.settings(models, engine=runner.description, codec=graph.code.codec) | {
            "num_threads": choice.threads,
            "image_px": f"{picture.shape[1]} x {picture.shape[0]}",
        }
        report_output.deliver(bench_report(stages, settings, command=command_line()))
    if report_output.as_json:
        return
    print_latency(
        f"{models.name} {graph.code.codec} {precision.value}, {runner.description}", stages, console=stdout_console()
    )


@app.command(epilog="Example: semlink engine verify photos --precision int8")
@with_option_groups
def verify(
    folder: Annotated[Path, typer.Argument(help="Images like those of the link, others than int8 was calibrated on.")],
    limit: options.Limit = 200,
    choice: EngineChoice = _FP16,
    report_output: ReportOutput = TO_TABLE,
    config: ConfigFile = None,
) -> None:
    """Compare a precision with fp32 in ONNX Runtime on the CPU; fail if they do not agree. int8's result is kept."""
    models, rate, precision = ModelSet.find(choice.model_set), parse_rate(choice.rate), choice.precision
    report_output.require_writable()
    console = stderr_console()
    engine_options = choice.engine_options()
    target = EngineFactory(models, engine_options).target
    images = _images(folder, limit, models, console)
    with build_progress(console) as on_progress:
        found = verify_engine(models, engine_options, images, rate=rate, codec=choice.codec, on_progress=on_progress)
    if report_output.is_wanted:
        codec = models.codec(choice.codec).name if models.codecs else None
        settings = choice.settings(models, engine=str(target), codec=codec)
        report = VerificationReport(**provenance(command_line()), settings=settings, verification=found)
        report_output.deliver(report)
    if not report_output.as_json:
        _print_verification(found, models, precision)
    _judge(found, models, target, precision)


def _print_verification(found: Verification, models: ModelSet, precision: Precision) -> None:
    """Print agreement and time beside fp32's."""
    cosines = {"feature_cosine": found.feature_cosine, "feature_cosine_least": found.feature_cosine_least}
    symbols = {"symbol_cosine": found.symbol_cosine, "same_codes": found.same_codes}
    times = {
        "latency_ms": found.latency_ms,
        "fp32_latency_ms": found.fp32_latency_ms,
        "fp16_latency_ms": found.fp16_latency_ms,
    }
    rows = {name: f"{value:.4f}" for name, value in {**cosines, **symbols}.items() if value is not None}
    rows |= {name: f"{value:.2f}" for name, value in times.items() if value is not None}
    counts = {"num_images": str(found.num_images), **rows, "num_threads": str(found.num_threads)}
    print_counts(f"{models.name} {precision.value} beside fp32", counts, console=stdout_console())


def _judge(found: Verification, models: ModelSet, target: Target, precision: Precision) -> None:
    """EngineError if the agreement with fp32 is below the tolerance; a warning if the precision saves no time."""
    on_gpu = target.device != CPU
    if not found.is_within(tolerance(precision, on_gpu=on_gpu)):
        raise EngineError(f"{precision.value} of {models.name}: {found.shortfall(precision, on_gpu=on_gpu)}")
    if precision is not Precision.FP32 and not found.is_faster:
        better, its_ms = found.alternative
        _log.warning(
            "%s is no gain here: %.2f ms an image, where %s takes %.2f ms; use --precision %s",
            *(precision.value, found.latency_ms, better.value, its_ms, better.value),
        )


def _images(folder: Path, limit: int | None, models: ModelSet, console: Console) -> list[Tensor]:
    """Images of a folder as the encoder takes them; of more than `limit`, as many that lie evenly among all."""
    files = image_files(folder)
    rows = np.unique(np.linspace(0, len(files) - 1, min(limit or len(files), len(files))).astype(int))
    with progress_bars(console, transient=True) as progress:
        chosen = progress.track([files[row] for row in rows], description="reading images")
        return list(_readable(chosen, models.manifest.encoder.preprocessing))


def _readable(paths: Iterable[Path], preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Images as the encoder takes them; one that cannot be read is skipped with a warning."""
    for path in paths:
        try:
            yield preprocess(load_image(path), preprocessing)
        except ImageError as error:
            _log.warning("skipped: %s", error)


def _build_engine(
    factory: EngineFactory, rate: SymbolRate, codec: str | None, console: Console, *, rebuild: bool
) -> None:
    graph = factory.transmitter_graph(rate, codec=codec)
    with build_progress(console) as on_progress:
        # The loaded engine is freed with its last reference.
        factory.load(graph.onnx, on_progress=on_progress, rebuild=rebuild)
