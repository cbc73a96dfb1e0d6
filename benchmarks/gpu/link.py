"""Both ends in one process over loopback ZeroMQ: a camera image in memory to its match in memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.gpu.search import TOLERANCE
from benchmarks.gpu.timing import DeviceBench, SkipPart
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from edge_rx.kb.gpu_search import SearchPrecision
from edge_rx.kb.index import open_search_device
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from edge_tx.model import GraphModel, load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from semlink.image import LoadedImage
from semlink.rates import parse_rate
from semlink.report import Scalar
from semlink.transport import FrameReceiver, FrameSender

__all__ = ["MatchChecker", "bench_link"]

RATE = parse_rate("64")
NUM_SENT = 4
CAMERA_PX, ENTRY_PX = (720, 1280), (32, 32)
_TRANSMITTERS = (
    ("onnxruntime", Precision.FP32),
    ("tensorrt", Precision.FP32),
    ("tensorrt", Precision.FP16),
)
_RECEIVERS = (
    ("nested", "onnxruntime", "cpu", SearchPrecision.FP32),
    ("nested", "onnxruntime", "gpu", SearchPrecision.FP32),
    ("nested", "onnxruntime", "gpu", SearchPrecision.FP16),
    ("kbsc", "onnxruntime", "cpu", SearchPrecision.FP32),
    ("kbsc", "onnxruntime", "gpu", SearchPrecision.FP16),
    ("kbsc", "tensorrt", "gpu", SearchPrecision.FP16),
)
"""Codec, backend of its decoder network if it has one, and search; in the last the query stays on the GPU."""


def bench_link(bench: DeviceBench, num_entries: int) -> None:
    """Time every pair of a transmitter's backend and a receiver over one knowledge base."""
    models = ModelSet.find("builtin")
    sent = [_image(seed, CAMERA_PX) for seed in range(NUM_SENT)]
    with tempfile.TemporaryDirectory(prefix="semlink-bench-") as folder:
        kb = Path(folder, "kb")
        others = (
            LabelledImage("other", f"other-{seed}.png", _image(seed, ENTRY_PX)) for seed in range(NUM_SENT, num_entries)
        )
        known = (LabelledImage("sent", f"sent-{number}.png", image) for number, image in enumerate(sent))
        encoder = ImageEncoder(models, num_threads=torch.get_num_threads())
        build_knowledge_base([*known, *others], kb, encoder, codecs=models.codecs)
        for backend, precision in _TRANSMITTERS:
            for codec, decoder_backend, device, search_precision in _RECEIVERS:
                search = f"{device}_{search_precision.value}"
                transmitter = f"{codec}_{backend}_{precision.value}"
                decoder = f"decoder_{decoder_backend}_" if codec == "kbsc" else ""
                name = f"end_to_end_loopback_{num_entries}_entries_{transmitter}_{decoder}search_{search}"
                with bench.part(name):
                    _require(bench, {backend, decoder_backend}, device)
                    options = EngineOptions(
                        backend=backend,
                        precision=precision,
                        num_threads=torch.get_num_threads(),
                        engines=Path(folder, "engines"),
                    )
                    model = load_transmitter_model(models, RATE, options, codec=codec)
                    gpu = open_search_device(device, search_precision)
                    with KnowledgeBase.open(kb, models.encoder_fingerprint, gpu=gpu) as knowledge_base:
                        decoders = Decoders.of(
                            models, knowledge_base, DecoderOptions(rates=[RATE], backend=decoder_backend, gpu=gpu)
                        )
                        receiver = Receiver(decoders, knowledge_base)
                        tolerance = TOLERANCE[search_precision] if search_precision is SearchPrecision.FP16 else None
                        notes: dict[str, Scalar] = {"precision": precision.value, "search": search}
                        check = MatchChecker(_matches_of_the_cpu(models, kb, model, sent), codec, tolerance)
                        _time_link(bench, name, model, receiver, sent, check, notes)


def _matches_of_the_cpu(models: ModelSet, kb: Path, model: GraphModel, sent: list[np.ndarray]) -> list[Match]:
    """Matches of a receiver on the CPU in single precision."""
    frames: list[bytes] = []
    transmitter = Transmitter(model, RATE, frames.append)
    for image in sent:
        transmitter.run_once(LoadedImage(image, *image.shape[:2]))
    with KnowledgeBase.open(kb, models.encoder_fingerprint) as knowledge_base:
        receiver = Receiver(
            Decoders.of(models, knowledge_base, DecoderOptions(rates=[RATE], backend="onnxruntime")), knowledge_base
        )
        matches = [match for frame in frames if (match := receiver.run_once(frame)) is not None]
    if len(matches) != len(sent):
        raise RuntimeError(f"the CPU's receiver matches {len(matches)} of {len(sent)} frames")
    return matches


def _time_link(
    bench: DeviceBench,
    name: str,
    model: GraphModel,
    receiver: Receiver,
    sent: list[np.ndarray],
    check: MatchChecker,
    notes: dict[str, Scalar],
) -> None:
    images = [LoadedImage(image, *image.shape[:2]) for image in sent]
    with FrameReceiver("tcp://127.0.0.1:*") as frames, FrameSender(frames.endpoint) as sender:
        transmitter = Transmitter(model, RATE, sender.send)

        def send_and_match(number: int) -> Match | None:
            transmitter.run_once(images[number % NUM_SENT])
            message = frames.receive(timeout_s=5.0)
            return None if message is None else receiver.run_once(message)

        bench.time(name, send_and_match, check, has_events=False, notes=notes)


def _require(bench: DeviceBench, backends: set[str], device: str) -> None:
    """Skip a part that needs a GPU or packages that this machine lacks."""
    if "tensorrt" in backends:
        bench.require_tensorrt()
    if not bench.is_cuda and device == "gpu":
        raise SkipPart("needs a GPU")


@dataclass(frozen=True, eq=False)
class MatchChecker:
    """Matches must be the CPU's, and those of `nested` the sent image; `kbsc` loses too much for that.

    Attributes
    ----------
    tolerance : largest difference of another entry's score from the CPU's; None if the entry must be the same
    """

    expected: list[Match]
    codec: str
    tolerance: float | None

    def __call__(self, number: int, match: Match | None) -> None:
        """Raise RuntimeError if the match of a call is wrong."""
        number %= NUM_SENT
        if match is None:
            raise RuntimeError(f"image {number}: no match")
        expected = self.expected[number]
        is_near = self.tolerance is not None and abs(match.score - expected.score) <= self.tolerance
        if match.entry_id != expected.entry_id and not is_near:
            raise RuntimeError(
                f"image {number}: found entry {match.entry_id} ({match.score:.4f}), the CPU finds"
                f" {expected.entry_id} ({expected.score:.4f})"
            )
        if self.codec == "nested" and match.source != f"sent-{number}.png":
            raise RuntimeError(f"image {number}: found {match.source}, expected sent-{number}.png")


def _image(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Smooth image of its own for each seed, (height, width, 3) uint8."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (1, 3, 5, 5)))
    smooth = functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 255)
    return smooth[0].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()
