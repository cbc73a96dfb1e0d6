"""Both ends in one process over loopback ZeroMQ: a camera's picture in memory to its match in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.gpu_timing import DeviceBench, SkipPart
from edge_rx.decoder import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from edge_rx.kb.gpu_search import SearchDevice, SearchPrecision
from edge_rx.kb.index import open_search_device
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from edge_tx.model import GraphModel, load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.engine_options import EngineOptions
from engines.image_encoder import ImageEncoder
from engines.modelset import ModelSet
from engines.precision import Precision
from semlink.image import LoadedImage
from semlink.rates import parse_rate
from semlink.transport import FrameReceiver, FrameSender

__all__ = ["bench_link"]

RATE = parse_rate("64")
NUM_SENT = 4
CAMERA_PX, ENTRY_PX = (720, 1280), (32, 32)
_TRANSMITTERS = (
    ("onnxruntime", Precision.FP32),
    ("tensorrt", Precision.FP32),
    ("tensorrt", Precision.FP16),
)
_RECEIVERS = (
    ("nested", "onnxruntime", SearchDevice.CPU, SearchPrecision.FP32),
    ("nested", "onnxruntime", SearchDevice.GPU, SearchPrecision.FP32),
    ("nested", "onnxruntime", SearchDevice.GPU, SearchPrecision.FP16),
    ("kbsc", "onnxruntime", SearchDevice.CPU, SearchPrecision.FP32),
    ("kbsc", "onnxruntime", SearchDevice.GPU, SearchPrecision.FP16),
    ("kbsc", "tensorrt", SearchDevice.GPU, SearchPrecision.FP16),
)
"""Codec, what runs its decoder network if it has one, and the search; the last hands the query over on the GPU."""


def bench_link(bench: DeviceBench, num_entries: int) -> None:
    """Time every pair of a transmitter's backend and a receiver over one knowledge base."""
    models = ModelSet.find("builtin")
    sent = [_picture(seed, CAMERA_PX) for seed in range(NUM_SENT)]
    with tempfile.TemporaryDirectory(prefix="semlink-bench-") as folder:
        kb = Path(folder, "kb")
        others = (
            LabelledImage("other", f"other-{seed}.png", _picture(seed, ENTRY_PX))
            for seed in range(NUM_SENT, num_entries)
        )
        known = (LabelledImage("sent", f"sent-{number}.png", picture) for number, picture in enumerate(sent))
        encoder = ImageEncoder(models, num_threads=torch.get_num_threads())
        build_knowledge_base([*known, *others], kb, encoder, codecs=models.codecs)
        for backend, precision in _TRANSMITTERS:
            for codec, decoder_backend, device, search_precision in _RECEIVERS:
                search = f"{device.value}_{search_precision.value}"
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
                        decoders = Decoders.of(models, knowledge_base, rates=[RATE], backend=decoder_backend, gpu=gpu)
                        receiver = Receiver(decoders, knowledge_base)
                        _time_link(bench, name, model, receiver, sent, precision=precision.value, search=search)


def _time_link(
    bench: DeviceBench, name: str, model: GraphModel, receiver: Receiver, sent: list[np.ndarray], **notes: str
) -> None:
    pictures = [LoadedImage(picture, *picture.shape[:2]) for picture in sent]
    with FrameReceiver("tcp://127.0.0.1:*") as frames, FrameSender(frames.endpoint) as sender:
        transmitter = Transmitter(model, RATE, sender.send)

        def send_and_match(number: int) -> Match | None:
            transmitter.run_once(pictures[number % NUM_SENT])
            message = frames.receive(timeout_s=5.0)
            return None if message is None else receiver.run_once(message)

        bench.time(name, send_and_match, _CHECKS[model.codec], has_events=False, **notes)


def _require(bench: DeviceBench, backends: set[str], device: SearchDevice) -> None:
    """Skip what needs a GPU where there is none, or packages that are not here."""
    if "tensorrt" in backends:
        bench.require_tensorrt()
    if not bench.is_cuda and device is SearchDevice.GPU:
        raise SkipPart("needs a GPU")


def _check_answered(number: int, match: Match | None) -> None:
    if match is None:
        raise RuntimeError(f"picture {number}: no match")


def _check_found(number: int, match: Match | None) -> None:
    _check_answered(number, match)
    if match and match.source != f"sent-{number % NUM_SENT}.png":
        raise RuntimeError(f"picture {number}: found {match.source}, expected sent-{number % NUM_SENT}.png")


_CHECKS = {"nested": _check_found, "kbsc": _check_answered}
"""`kbsc` loses too much to find the very picture, without a channel too."""


def _picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) uint8, smooth and like no other."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (1, 3, 5, 5)))
    smooth = functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 255)
    return smooth[0].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()
