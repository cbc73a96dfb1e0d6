"""`make bench-int8`: what ranges of int8 weights cost, on this processor and on one without VNNI.

The built-in encoder is calibrated on one set of images and tried on that and others; an encoder of the shape of CLIP
ViT-B/32, with random weights, is scaled in each call. QEMU runs both as a Haswell, which has AVX2 alone: its arithmetic
is that processor's, its time is not. Times are this processor's, of graphs that take turns in one process. Needs
`qemu-x86_64` (Debian: qemu-user), torch, and folders of images.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from benchmarks.cli import ReportPath, run_command
from benchmarks.int8_report import EMULATED, as_markdown
from benchmarks.report.schemas import Int8Agreement, Int8Report
from engines.backends.processor import instruction_set
from engines.backends.runner import load_runner
from engines.graphs.quantize import Int8Style, at_precision
from engines.graphs.weight_ranges import WeightRange, Weights, unsaturated_range
from engines.models.codecs import NestedCodec
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.cli.output import stderr_console
from semlink.cli.progress import progress_bars
from semlink.errors import EngineError, MissingDependencyError
from semlink.image import RGBImage, image_files, load_image, preprocess
from semlink.iq import Symbols, normalize_power, pair_latent
from semlink.rates import parse_rate
from semlink.report import Scalar, Stage, provenance, require_writable, write_report
from semlink.timing import summarize_latency
from trainer.datasets import open_dataset

Features = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]

REPORT = Path(__file__).parent / "results" / "int8-processors.json"
FOLDERS = ("flowers12", "cifar10-test", "imagenet-sample-1000")
RATE = parse_rate("64")
NUM_CALIBRATION_IMAGES = 256
NUM_TRANSFORMER_IMAGES = 24
"""Of one set: it has random weights, so that nothing is to be learnt from other sets."""
NUM_THREADS = (1, 2)
BUILTIN, TRANSFORMER = "built-in, calibrated", "ViT-B/32 with random weights, scaled in each call"
EMULATOR = ("qemu-x86_64", "-cpu", "Haswell")
_WARM_UP, _NUM_TIMED = 5, 50


def _largest(weights: Weights) -> npt.NDArray[np.float32]:
    return np.asarray(np.abs(weights).reshape(len(weights), -1).max(axis=1))


RANGES: dict[str, WeightRange] = {
    "full range": _largest,
    "seven bits": lambda weights: _largest(weights) * np.float32(127 / 64),
    "pairs": unsaturated_range,
}
"""What becomes 127 in each output channel: its largest weight, about twice that, its largest pair (semlink's)."""


@dataclass(frozen=True)
class ImageSet:
    """Images to compare on, and others to search."""

    name: str
    images: Images
    others: Images


@dataclass(frozen=True)
class Encoder:
    """An encoder's fp32 graph and its int8 graphs by weights, on disk; `symbols` is None where there is no codec."""

    name: str
    graphs: dict[str, Path]
    sets: Sequence[ImageSet]
    symbols: Callable[[Features], Symbols] | None = None


def main(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of images, of which the first calibrates.", show_default=False),
    ] = None,
    num_images: Annotated[
        int, typer.Option(min=1, help="Images of each set to compare on, and as many others to search.")
    ] = 200,
    num_emulated: Annotated[
        int, typer.Option(min=1, help="Of these, how many are also encoded in the emulated processor.")
    ] = 24,
    num_emulated_transformer: Annotated[
        int, typer.Option(min=1, max=NUM_TRANSFORMER_IMAGES, help="The same for the transformer.")
    ] = 8,
    out: ReportPath = REPORT,
) -> None:
    """Measure what each range of int8 weights loses here and on an emulated processor, and its time here."""
    require_writable(out)
    named = folders or [Path(os.environ.get("SEMLINK_DATA", "."), name) for name in FOLDERS]
    if shutil.which(EMULATOR[0]) is None:
        raise MissingDependencyError(f"{EMULATOR[0]} is not installed; apt-get install qemu-user")
    emulated = {BUILTIN: num_emulated, TRANSFORMER: num_emulated_transformer}
    rows: list[Int8Agreement] = []
    stages: list[Stage] = []
    with progress_bars(stderr_console()) as progress, tempfile.TemporaryDirectory(prefix="bench-int8-") as folder:
        calibration, sets = read_sets(named, num_images)
        for encoder in encoders(Path(folder), calibration, sets):
            task = progress.add_task(encoder.name, total=len(encoder.sets) * len(RANGES))
            for image_set in encoder.sets:
                for row in agreements(encoder, image_set, Path(folder), num_emulated=emulated[encoder.name]):
                    rows.append(row)
                    progress.advance(task, int(row.processor == EMULATED))
            for num_threads in NUM_THREADS:
                stages += timed(encoder, num_threads)
    report = Int8Report(
        **provenance("make bench-int8"),
        settings={
            "calibrated_on": named[0].name,
            "num_calibration_images": len(calibration),
            "num_images": num_images,
            "num_emulated": num_emulated,
            "num_emulated_transformer": num_emulated_transformer,
            "num_symbols": RATE.num_symbols,
        },
        stages=stages,
        rows=rows,
    )
    write_report(report, out)
    print(as_markdown(report))


def read_sets(folders: Sequence[Path], num_images: int) -> tuple[Images, list[ImageSet]]:
    """Images to calibrate on, of the first folder, and sets to compare on: the folders, CIFAR-100 and digits."""
    sources: dict[str, tuple[int, Callable[[int], RGBImage]]] = {}
    for folder in folders:
        files = image_files(folder)
        sources[folder.name] = len(files), _loader(files)
    for name in ("cifar100", "digits"):
        sent = open_dataset(name).sent
        sources[name] = len(sent), sent.image
    preprocessing = ModelSet.find("builtin").manifest.encoder.preprocessing
    calibration: Images = np.zeros((0,), np.uint8)
    sets: list[ImageSet] = []
    for name, (count, load) in sources.items():
        num_calibration = 0 if sets else NUM_CALIBRATION_IMAGES
        rows = np.random.default_rng(0).permutation(count)[: num_calibration + 2 * num_images]
        tensors = np.stack([preprocess(load(int(row)), preprocessing) for row in rows])
        if num_calibration:
            calibration = tensors[:num_calibration]
        sets.append(ImageSet(name, *np.split(tensors[num_calibration:], [num_images])))
    return calibration, sets


def _loader(files: Sequence[Path]) -> Callable[[int], RGBImage]:
    return lambda row: load_image(files[row])


def encoders(folder: Path, calibration: Images, sets: Sequence[ImageSet]) -> Iterator[Encoder]:
    """Both encoders, in fp32 and with each range of int8 weights."""
    models = ModelSet.find("builtin")
    codec = models.codec("nested-cells")
    if not isinstance(codec, NestedCodec):
        raise TypeError(codec)

    def symbols(features: Features) -> Symbols:
        return normalize_power(pair_latent(codec.codebook.latent(features)[:, : RATE.latent_dim]))

    graphs = written(folder / "builtin", models.encoder_path, Int8Style.CALIBRATED, list(calibration))
    yield Encoder(BUILTIN, graphs, sets, symbols)
    # torch is needed by this one alone.
    from benchmarks.same_models import as_model_set
    from benchmarks.torch_eager import FEATURE_DIM, random_clip
    from trainer.codecs.kbsc import KbscNetwork

    clip, _ = random_clip()
    vit = as_model_set(folder / "vit", clip, KbscNetwork(FEATURE_DIM, RATE.latent_dim).eval(), RATE)
    few = [
        ImageSet(each.name, each.images[:NUM_TRANSFORMER_IMAGES], each.others[:NUM_TRANSFORMER_IMAGES])
        for each in sets[:1]
    ]
    yield Encoder(TRANSFORMER, written(folder / "vit", vit.encoder_path, Int8Style.DYNAMIC), few)


def written(folder: Path, fp32: Path, style: Int8Style, images: Sequence[Images] = ()) -> dict[str, Path]:
    """Paths of an encoder's graphs, fp32 first."""
    folder.mkdir(exist_ok=True)
    graphs = {"fp32": fp32}
    for name, weight_range in RANGES.items():
        model = at_precision(fp32, Precision.INT8, style=style, pictures=images, weight_range=weight_range)
        graphs[name] = folder / f"{name}.onnx"
        graphs[name].write_bytes(model.SerializeToString())
    return graphs


def agreements(encoder: Encoder, image_set: ImageSet, folder: Path, *, num_emulated: int) -> Iterator[Int8Agreement]:
    """Compare each int8 with fp32, here and in the emulated processor."""
    fp32 = encode(encoder.graphs["fp32"], image_set.images, folder)
    others = encode(encoder.graphs["fp32"], image_set.others, folder)
    for weights, graph in encoder.graphs.items():
        if weights == "fp32":
            continue
        here = encode(graph, image_set.images, folder)
        emulated = encode(graph, image_set.images[:num_emulated], folder, emulator=EMULATOR)
        for processor, features in ((instruction_set(), here), (EMULATED, emulated)):
            reference = fp32[: len(features)]
            cosines = np.sum(features * reference, axis=1)
            nearest, of_fp32 = (np.argmax(each @ others.T, axis=1) for each in (features, reference))
            yield Int8Agreement(
                encoder=encoder.name,
                weights=weights,
                images=image_set.name,
                processor=processor,
                num_images=len(features),
                feature_cosine=float(cosines.mean()),
                feature_cosine_least=float(cosines.min()),
                symbol_cosine=symbol_cosine(encoder, features, reference),
                same_nearest=float(np.mean(nearest == of_fp32)),
                same_features=float(np.mean(np.all(features == here[: len(features)], axis=1))),
            )


def symbol_cosine(encoder: Encoder, features: Features, reference: Features) -> float | None:
    """Mean over images, of symbols of unit power."""
    if encoder.symbols is None:
        return None
    return float(np.mean(np.real(encoder.symbols(features) * encoder.symbols(reference).conj())))


def encode(graph: Path, images: Images, folder: Path, *, emulator: Sequence[str] = ()) -> Features:
    """Images through a graph in a process of its own, in an emulator if one is named."""
    paths = folder / "images.npy", folder / "features.npy"
    np.save(paths[0], images)
    command = [*emulator, sys.executable, "-m", "benchmarks.encode_graph", str(graph), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return np.asarray(np.load(paths[1]))


def timed(encoder: Encoder, num_threads: int) -> Iterator[Stage]:
    """Time one image at a time, the graphs in turns; note `least_ms` depends least on the machine's other processes."""
    images = encoder.sets[0].images
    runners = {
        name: load_runner(graph, backend="onnxruntime", device="cpu", num_threads=num_threads)
        for name, graph in encoder.graphs.items()
    }
    samples_ms: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(_WARM_UP + _NUM_TIMED):
        for name, runner in runners.items():
            start_ns = time.perf_counter_ns()
            runner(images[number % len(images)][None])
            samples_ms[name].append((time.perf_counter_ns() - start_ns) / 1e6)
    for name, every in samples_ms.items():
        measured = every[_WARM_UP:]
        notes: dict[str, Scalar] = {
            "encoder": encoder.name,
            "weights": name,
            "threads": num_threads,
            "least_ms": min(measured),
        }
        yield Stage.of(f"{encoder.name}: {name}, threads: {num_threads}", summarize_latency(measured), notes=notes)


if __name__ == "__main__":
    run_command(main, "benchmarks.int8_processors")
