"""A model set with its encoder in fp16 and in int8, built and verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from engines.encoder_precision import build_encoder, default_store, encoder_graph, split_images
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from engines.verification import verify_engine
from semlink.rates import parse_rate

RATE = parse_rate("64")


@dataclass(frozen=True)
class Precisions:
    """A model set, images for its encoder, and the folder of its engines."""

    models: ModelSet
    images: list[npt.NDArray[np.uint8]]
    engines: Path

    @property
    def is_builtin(self) -> bool:
        return self.models.name == "builtin"

    def at(self, precision: Precision) -> onnx.ModelProto:
        model = encoder_graph(self.models, precision, default_store(self.models, self.engines))
        assert isinstance(model, onnx.ModelProto)
        return model

    def options(self, precision: Precision) -> EngineOptions:
        return EngineOptions(backend="onnxruntime", device="cpu", precision=precision, engines=self.engines)


def smooth_images(size_px: int, count: int = 40) -> list[npt.NDArray[np.uint8]]:
    """Patches of colour, which an encoder tells apart; `size_px` is a multiple of 7."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 7, 7, 3), dtype=np.uint8)
    return [np.kron(patch, np.ones((size_px // 7, size_px // 7, 1), np.uint8)) for patch in coarse]


def built_precisions(models: ModelSet, engines: Path) -> Precisions:
    precisions = Precisions(models, smooth_images(models.manifest.encoder.preprocessing.size_px), engines)
    calibrating, held_out = split_images(precisions.images)
    store = default_store(models, engines)
    build_encoder(models, Precision.INT8, store, pictures=calibrating)
    build_encoder(models, Precision.FP16, store)
    verify_engine(models, precisions.options(Precision.INT8), held_out, rate=RATE)
    return precisions
