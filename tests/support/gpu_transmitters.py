"""The built-in transmitter in every precision, and how far its codes are from the CPU's; for these tests alone."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from engines.backends.onnxruntime.cpu import OnnxRuntimeRunner
from engines.backends.runner import GraphRunner
from engines.graphs.compose import compose_transmitter
from engines.graphs.nested import nested_encoder
from engines.graphs.quantize import Int8Style, at_precision
from engines.models.codecs import NestedCodec
from engines.models.model_set import ModelSet
from engines.options import Precision

BUILTIN = Path(__file__).parents[2] / "engines" / "modelsets" / "builtin"

LEAST_COSINE = {Precision.FP32: 0.9999, Precision.FP16: 0.999, Precision.INT8: 0.95}
"""Of codes with those of single precision on the CPU: rounding to int8 falls the other way now and then."""


@functools.cache
def pictures() -> tuple[np.ndarray, ...]:
    """(224, 224, 3) uint8 each: smooth patches of colour, which the encoder tells apart."""
    coarse = np.random.default_rng(0).integers(0, 256, (40, 7, 7, 3), dtype=np.uint8)
    return tuple(np.kron(patch, np.ones((32, 32, 1), np.uint8)) for patch in coarse)


@functools.cache
def transmitter_graph(precision: Precision) -> bytes:
    """As `semlink tx` runs it on a GPU: int8 is the symmetric one, calibrated on `pictures`."""
    model_set = ModelSet(BUILTIN)
    codec = model_set.codec("nested")
    assert isinstance(codec, NestedCodec)
    encoder = at_precision(model_set.encoder_path, precision, style=Int8Style.SYMMETRIC, pictures=pictures())
    return compose_transmitter([encoder, nested_encoder(codec.codebook)], codec.rates)


@functools.cache
def reference() -> list[np.ndarray]:
    """Codes of each picture in single precision on the CPU."""
    runner = OnnxRuntimeRunner(transmitter_graph(Precision.FP32))
    return [runner(picture[None]) for picture in pictures()]


def least_cosine(runner: GraphRunner) -> float:
    """Of its codes with `reference`, over the pictures."""
    cosines = []
    for picture, expected in zip(pictures(), reference(), strict=True):
        got, wanted = (codes.astype(np.float64).ravel() for codes in (runner(picture[None]), expected))
        cosines.append(got @ wanted / np.linalg.norm(got) / np.linalg.norm(wanted))
    return float(min(cosines))
