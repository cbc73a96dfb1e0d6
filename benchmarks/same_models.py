"""The networks of `benchmarks.torch_eager` as a model set and a knowledge base, and the link that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.torch_eager import FEATURE_DIM, NUM_THREADS
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from edge_rx.noise import NoiseEstimator
from edge_rx.pipeline import Receiver
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.backends.runner import GraphRunner, load_runner
from engines.encoder_precision import default_store, encoder_graph
from engines.models.manifest import CodecRateEntry, PerRateCodecEntry
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from engines.verification import verify_engine
from semlink.image import LoadedImage, RGBImage, preprocess
from semlink.iq import IQCodes, Symbols, dequantize
from semlink.rates import Rate
from trainer.codecs.export import export_codec
from trainer.codecs.kbsc import KbscNetwork
from trainer.encoders.export import EncoderNetwork, write_encoder_model_set
from trainer.model_set_writer import model_file, set_codec

__all__ = ["Link", "as_model_set", "knowledge_base_of"]

SIZE_PX = 224


def as_model_set(folder: Path, clip: nn.Module, codec: KbscNetwork, rate: Rate) -> ModelSet:
    """Export both networks as training does, `codec` for one rate.

    Exported weights are stored in half precision, so those of `clip` are rounded to it first, in place.
    """

    class ImageTower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip = clip

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.clip.encode_image(pixels)

    with torch.no_grad():
        for weights in clip.parameters():
            weights.copy_(weights.half().float())
    encoder = EncoderNetwork(
        name="vit-b32-random",
        network=ImageTower().eval(),
        feature_dim=FEATURE_DIM,
        size_px=SIZE_PX,
        mean=(122.7709383, 116.7460125, 104.09373615),
        std=(68.5005327, 66.6321579, 70.32316305),
        licence="none",
        training_data="none: random weights",
    )
    write_encoder_model_set(folder, encoder)
    encoder_path, decoder_path = (folder / f"kbsc-{rate.num_symbols}.{half}.onnx" for half in ("encoder", "decoder"))
    export_codec(codec, encoder_path, decoder_path)
    entry = CodecRateEntry(rate.num_symbols, model_file(encoder_path), model_file(decoder_path))
    set_codec(folder, PerRateCodecEntry("kbsc", [entry], licence="none", training_data="none: random weights"))
    return ModelSet(folder)


def knowledge_base_of(vectors: npt.NDArray[np.float32], models: ModelSet, folder: Path) -> Path:
    """Build a knowledge base of given vectors; every entry's image is a grey square."""
    remaining = iter(vectors)
    # The part of an `ImageEncoder` that the build uses.
    encoder: Any = SimpleNamespace(
        name=models.manifest.encoder.name,
        fingerprint=models.encoder_fingerprint,
        feature_dim=models.feature_dim,
        preprocessing=models.manifest.encoder.preprocessing,
        encode=lambda images: np.stack([next(remaining) for _ in images]),
    )
    square = np.full((8, 8, 3), 128, np.uint8)
    images = (LabelledImage("", f"{number}.png", square) for number in range(len(vectors)))
    build_knowledge_base(images, folder, encoder, codecs=models.codecs)
    return folder


class Link(AbstractContextManager["Link"]):
    """Transmitter and receiver in one process, which pass frames in memory, and their parts.

    Parameters
    ----------
    models : model set with `codec`
    knowledge_base : folder of a knowledge base of that model set
    precision : of the image encoder
    engines : folder of built engines
    images : images on which an int8 engine is verified before it is loaded
    """

    def __init__(
        self,
        models: ModelSet,
        codec: str,
        rate: Rate,
        knowledge_base: Path,
        *,
        precision: Precision,
        engines: Path,
        images: Sequence[RGBImage] = (),
    ) -> None:
        self._rate, self._precision, self._engines, self._models = rate, precision, engines, models
        options = EngineOptions(
            backend="onnxruntime", device="cpu", num_threads=NUM_THREADS, precision=precision, engines=engines
        )
        if precision is Precision.INT8:
            preprocessing = models.manifest.encoder.preprocessing
            tensors = [preprocess(image, preprocessing) for image in images]
            verify_engine(models, options, tensors, rate=rate, codec=codec)
        self._model = load_transmitter_model(models, rate, options, codec=codec)
        self._knowledge_base = KnowledgeBase.open(knowledge_base, models.encoder_fingerprint, num_threads=NUM_THREADS)
        decoders = Decoders.of(
            models, self._knowledge_base, DecoderOptions(rates=[rate], backend="onnxruntime", num_threads=NUM_THREADS)
        )
        self._decoder = decoders.decoder(self._model.fingerprints[rate])
        self._noise = NoiseEstimator()
        self._frames: list[bytes] = []
        self._transmitter = Transmitter(self._model, rate, self._frames.append)
        self._receiver = Receiver(decoders, self._knowledge_base)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._knowledge_base.close()

    @cached_property
    def _encoder(self) -> GraphRunner:
        """The image encoder by itself, which is a part of the transmitter's graph."""
        encoder = encoder_graph(self._models, self._precision, default_store(self._models, self._engines))
        graph = encoder if isinstance(encoder, Path) else encoder.SerializeToString()
        return load_runner(graph, backend="onnxruntime", device="cpu", num_threads=NUM_THREADS)

    def features(self, image: RGBImage) -> npt.NDArray[np.float32]:
        """Encode an image, (1, FEATURE_DIM); the transmitter's graph does not return its features."""
        return np.asarray(self._encoder(self._tensor(image)[None]))

    def codes(self, image: RGBImage) -> IQCodes:
        """Preprocess an image and run the transmitter's one engine call, (n, 2)."""
        return self._model.codes(self._tensor(image), self._rate)

    def _tensor(self, image: RGBImage) -> npt.NDArray[np.uint8]:
        return preprocess(image, self._model.preprocessing)

    def symbols(self, codes: IQCodes) -> Symbols:
        """Dequantize, (n,) complex64: the received symbols without a channel."""
        return dequantize(codes, self._model.codes_format)

    def match(self, codes: IQCodes) -> int:
        """Dequantize, decode and search; the entry's id."""
        observation = self._decoder.equalize(self.symbols(codes), num_pilots=0, noise=self._noise)
        (candidate,) = self._decoder.search(self._decoder.decode(observation))
        if candidate is None:
            raise RuntimeError("the decoder found no entry")
        return candidate.entry_id

    def send_and_match(self, image: RGBImage) -> int:
        """Run the whole link with frames packed, checked and unpacked, and the entry's record looked up."""
        self._transmitter.run_once(LoadedImage(image, *image.shape[:2]))
        match = self._receiver.run_once(self._frames.pop())
        if match is None:
            raise RuntimeError(f"dropped: {dict(self._receiver.rejected)}")
        return match.entry_id
