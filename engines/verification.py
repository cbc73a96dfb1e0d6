"""Compares an engine with fp32 on this processor, in agreement and in time: `semlink engine build` and `verify`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.agreement import Verification
from engines.backends.runner import GraphRunner, Report
from engines.factory import EngineFactory
from engines.graphs.quantize import Tensor
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from semlink.errors import ConfigError
from semlink.iq import CodesFormat, dequantize
from semlink.machine import now_utc
from semlink.rates import Rate

__all__ = ["compare", "verify_engine"]

Array = npt.NDArray[Any]

_WARM_UP = 5
_NUM_TIMED = 50
"""At least; few images are encoded several times."""


def verify_engine(
    model_set: ModelSet,
    options: EngineOptions,
    images: Sequence[Tensor],
    *,
    rate: Rate,
    codec: str | None = None,
    report: Report | None = None,
) -> Verification:
    """Run a precision and fp32 on the same images, and keep the result beside an int8 engine.

    Parameters
    ----------
    options : of the engine; fp32 runs in ONNX Runtime on the CPU
    images : like those of the link, at least one, and others than int8 was calibrated on
    rate, codec : of the symbols that are compared; a model set without a codec is compared by its features alone
    report : callback for the progress of an engine build

    Raises
    ------
    ConfigError
        If there is no image.
    EngineError
        If the engine was not built, or cannot run.
    """
    if not images:
        raise ConfigError("an engine is verified on images, got none; name a folder of images like those of the link")
    tested = EngineFactory(model_set, options)
    reference = EngineFactory(
        model_set, replace(options, backend="onnxruntime", device="cpu", precision=Precision.FP32)
    )
    encoders = tested.load(tested.vectors_graph(), report=report), reference.load(reference.vectors_graph())
    if not model_set.codecs:
        found = compare(images, encoders, num_threads=options.num_threads)
    else:
        graphs = [factory.transmitter_graph(rate, codec=codec) for factory in (tested, reference)]
        transmitters = tested.load(graphs[0].onnx, report=report), reference.load(graphs[1].onnx)
        found = compare(
            images,
            encoders,
            transmitters,
            codes_slice=graphs[0].slices[rate],
            num_threads=options.num_threads,
        )
    tested.record(found)
    return found


def compare(
    images: Sequence[Tensor],
    encoders: tuple[GraphRunner, GraphRunner],
    transmitters: tuple[GraphRunner, GraphRunner] | None = None,
    *,
    codes_slice: slice = slice(None),
    num_threads: int = 1,
) -> Verification:
    """Compare two precisions of one encoder, and of the transmitter that begins with it, timed in turns.

    Parameters
    ----------
    images : (size, size, 3) uint8 each
    encoders : image to features, of the precision and of fp32
    transmitters : image to sc8 codes of every rate, likewise
    codes_slice : of the codes that are compared
    num_threads : of all, for the record
    """
    features, of_fp32 = ([encoder(image[None])[0] for image in images] for encoder in encoders)
    cosines = np.sum(np.stack(features) * np.stack(of_fp32), axis=1)
    symbol_cosine = same_codes = None
    if transmitters is not None:
        codes, codes_of_fp32 = (
            np.stack([transmitter(image[None])[0, codes_slice] for image in images]) for transmitter in transmitters
        )
        symbol_cosine = _symbol_cosine(codes, codes_of_fp32)
        same_codes = float(np.mean(codes == codes_of_fp32))
    latency_ms, fp32_latency_ms = _medians_ms(transmitters or encoders, images)
    return Verification(
        date=now_utc(),
        num_images=len(images),
        feature_cosine=float(cosines.mean()),
        feature_cosine_least=float(cosines.min()),
        symbol_cosine=symbol_cosine,
        same_codes=same_codes,
        latency_ms=latency_ms,
        fp32_latency_ms=fp32_latency_ms,
        num_threads=num_threads,
    )


def _symbol_cosine(codes: Array, codes_of_fp32: Array) -> float:
    first, second = (dequantize(each, CodesFormat.SC8) for each in (codes, codes_of_fp32))
    products = np.real(np.sum(first * second.conj(), axis=1))
    return float(np.mean(products / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))))


def _medians_ms(runners: tuple[GraphRunner, GraphRunner], images: Sequence[Tensor]) -> tuple[float, float]:
    """Medians of both, in turns, so that whatever else runs on the machine delays both alike."""
    taken_ms: tuple[list[float], list[float]] = ([], [])
    for number in range(_WARM_UP + max(_NUM_TIMED, len(images))):
        image = images[number % len(images)][None]
        for runner, each in zip(runners, taken_ms, strict=True):
            each.append(_call_ms(runner, image))
    first, second = (statistics.median(each[_WARM_UP:]) for each in taken_ms)
    return first, second


def _call_ms(call: Callable[[Array], Array], image: Array) -> float:
    started_s = time.perf_counter()
    call(image)
    return (time.perf_counter() - started_s) * 1e3
