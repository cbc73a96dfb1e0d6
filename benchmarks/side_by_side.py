"""`make bench-side-by-side`: this transmitter beside what a user would write, timed in turns on one machine.

What a user would write is what the paper's repository does: a CLIP ViT-B/32 in torch's eager mode with torchvision's
preprocessing, an MLP, all in one process. Ours is the same network as one graph from picture to codes. Weights are
random, of which the time does not depend; the picture is a real photograph of 1280 x 720.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image
from rich.progress import Progress
from torch import nn

from engines.compose import Graph, compose_transmitter
from engines.encoder_precision import default_store, encoder_graph
from engines.modelset import ModelSet
from engines.nested_graph import nested_encoder
from engines.precision import Precision
from engines.runner import load_runner
from semlink.image import RGBImage, preprocess
from semlink.provenance import MachineState, describe_device, installed_versions, machine_state, now_utc, write_report
from semlink.rates import RATES, parse_rate
from semlink.timing import LatencySummary, StageClock
from trainer.codecs.kbsc import KbscNetwork
from trainer.datasets import open_dataset
from trainer.encoders.export import EncoderNetwork, write_encoder_model_set
from trainer.encoders.open_clip_encoder import declare_torchvision_operators

NUM_THREADS = len(os.sched_getaffinity(0))
NUM_ROUNDS, WARM_UP = 100, 5
RATE = parse_rate("64")
REPORT = Path(__file__).parent / "results" / "side-by-side.json"

Pipeline = Callable[[RGBImage], np.ndarray]
"""Picture in memory to what goes on the air."""


class SideBySide(msgspec.Struct, frozen=True):
    """The report: milliseconds from a picture in memory to codes, and the ratio of medians to torch's."""

    command: str
    date: str
    device: str
    versions: dict[str, str]
    num_threads: int
    picture_px: tuple[int, int]
    latency_ms: dict[str, LatencySummary]
    ratio_to_torch_eager: dict[str, float]
    machine_state: MachineState | None = None


def main() -> None:
    """Time all of them in turns, so that whatever else the machine does is shared, and write the report."""
    torch.set_num_threads(NUM_THREADS)
    picture = camera_picture()
    with Progress() as progress, tempfile.TemporaryDirectory() as folder:
        task = progress.add_task("preparing", total=4)
        clip, clip_preprocess = random_clip()
        pipelines: dict[str, Pipeline] = {"torch eager, ViT-B/32, fp32": torch_eager(clip, clip_preprocess)}
        progress.advance(task)
        models = write_encoder_model_set(Path(folder), shaped_like_clip(clip))
        for precision in (Precision.FP32, Precision.INT8):
            encoder = encoder_graph(models, precision, default_store(models))
            pipelines[f"semlink, ViT-B/32, {precision.value}"] = one_graph(models, encoder)
            progress.advance(task)
        builtin = ModelSet.find("builtin")
        pipelines["semlink, built-in encoder, fp32"] = one_graph(builtin, builtin.encoder_path)
        progress.advance(task)
        clock = StageClock()
        rounds = progress.add_task("timing", total=WARM_UP + NUM_ROUNDS)
        for number in range(WARM_UP + NUM_ROUNDS):
            for name, pipeline in pipelines.items():
                with (clock if number >= WARM_UP else StageClock()).stage(name):
                    codes = pipeline(picture)
                if not codes.any():
                    raise RuntimeError(f"{name}: gave nothing")
            progress.advance(rounds)
    state, stages = machine_state(), clock.summary()
    eager = next(iter(stages.values())).p50
    report = SideBySide(
        command="make bench-side-by-side",
        date=now_utc(),
        device=describe_device(),
        versions=installed_versions(),
        num_threads=NUM_THREADS,
        picture_px=(picture.shape[1], picture.shape[0]),
        latency_ms=stages,
        ratio_to_torch_eager={name: round(stage.p50 / eager, 3) for name, stage in stages.items()},
        machine_state=state,
    )
    write_report(report, REPORT)
    for name, stage in stages.items():
        print(f"{name:34} p50 {stage.p50:7.2f}  p95 {stage.p95:7.2f}  p99 {stage.p99:7.2f} ms  {stage.p50 / eager:.2f}")


def camera_picture() -> RGBImage:
    """A real photograph at a camera's 1280 x 720."""
    photograph = open_dataset("photos").knowledge_base.image(0)
    return np.asarray(Image.fromarray(photograph).resize((1280, 720), Image.Resampling.BICUBIC))


def random_clip() -> tuple[nn.Module, Any]:
    """ViT-B/32 with random weights, and the preprocessing that open_clip gives with it."""
    declare_torchvision_operators()
    import open_clip

    torch.manual_seed(0)
    clip, _, clip_preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained=None, device="cpu")
    return clip.eval(), clip_preprocess


def torch_eager(clip: nn.Module, clip_preprocess: Any) -> Pipeline:
    """As in the paper's repository: preprocess with torchvision, encode_image, the MLP."""
    mlp = KbscNetwork(512, RATE.latent_dim).eval().encoder

    def pipeline(picture: RGBImage) -> np.ndarray:
        with torch.no_grad():
            pixels = clip_preprocess(Image.fromarray(picture))[None]
            features = clip.encode_image(pixels)
            latent: np.ndarray = mlp(features / features.norm(dim=-1, keepdim=True)).numpy()
        return latent

    return pipeline


def shaped_like_clip(clip: nn.Module) -> EncoderNetwork:
    """The same network, for the export."""

    class ImageTower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip = clip

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.clip.encode_image(pixels)

    return EncoderNetwork(
        name="vit-b32-random",
        network=ImageTower().eval(),
        feature_dim=512,
        size_px=224,
        mean=(122.77, 116.75, 104.09),
        std=(68.5, 66.63, 70.32),
        licence="none",
        training_data="none: random weights",
    )


def one_graph(models: ModelSet, encoder: Graph) -> Pipeline:
    """Preprocessing, then one engine call to the codes of every rate of `nested`."""
    codebook = ModelSet.find("builtin").codec("nested").codebook
    graph = compose_transmitter([encoder, nested_encoder(codebook)], RATES)
    runner = load_runner(graph, backend="onnxruntime", num_threads=NUM_THREADS)
    preprocessing = models.manifest.encoder.preprocessing
    return lambda picture: runner(preprocess(picture, preprocessing)[None])


if __name__ == "__main__":
    main()
