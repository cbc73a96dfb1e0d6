"""Compares an engine with fp32 on this processor, in agreement and in time: `semlink engine build` and `verify`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from engines.agreement import Verification
from engines.backends.runner import BuildProgress, GraphRunner
from engines.backends.target import CPU
from engines.factory import EngineFactory
from engines.graphs.quantize import Tensor
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from semlink.errors import ConfigError
from semlink.iq import CodesFormat, dequantize
from semlink.machine import now_utc
from semlink.rates import Rate

__all__ = ["LoadedEncoder", "compare", "verify_engine"]

Array = npt.NDArray[Any]

_WARM_UP = 5
_NUM_TIMED = 50
"""At least; few images are encoded several times."""


@dataclass(frozen=True)
class LoadedEncoder:
    """An image encoder at one precision, and the transmitter that begins with it.

    Attributes
    ----------
    encoder : image to features
    transmitter : image to sc8 codes of every rate; None where the model set has no codec
    codes_slice : position of the codes that are compared
    """

    encoder: GraphRunner
    transmitter: GraphRunner | None = None
    codes_slice: slice = field(default_factory=lambda: slice(None))

    @property
    def whole(self) -> GraphRunner:
        """The graph that a link calls."""
        return self.transmitter or self.encoder

    def features(self, images: Sequence[Tensor]) -> Array:
        """(num_images, feature_dim) float32."""
        return np.stack([self.encoder(image[None])[0] for image in images])

    def codes(self, images: Sequence[Tensor]) -> Array | None:
        """(num_images, num_symbols, 2) int8; None without a transmitter."""
        if self.transmitter is None:
            return None
        return np.stack([self.transmitter(image[None])[0, self.codes_slice] for image in images])


def verify_engine(
    model_set: ModelSet,
    options: EngineOptions,
    images: Sequence[Tensor],
    *,
    rate: Rate,
    codec: str | None = None,
    on_progress: BuildProgress | None = None,
) -> Verification:
    """Run a precision and fp32 on the same images, and keep the result beside an int8 engine.

    Parameters
    ----------
    options : of the engine; it must agree with fp32 of ONNX Runtime on the CPU, and be faster than fp32, and than fp16
        where that was built, of its own backend
    images : like those of the link, at least one, and others than int8 was calibrated on
    rate, codec : of the symbols that are compared; a model set without a codec is compared by its features alone
    on_progress : callback for the progress of an engine build

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
    on_cpu = replace(options, backend="onnxruntime", device="cpu", precision=Precision.FP32)
    reference = EngineFactory(model_set, on_cpu)

    def load(factory: EngineFactory) -> LoadedEncoder:
        encoder = factory.load(factory.vectors_graph(), on_progress=on_progress)
        if not model_set.codecs:
            return LoadedEncoder(encoder)
        graph = factory.transmitter_graph(rate, codec=codec)
        return LoadedEncoder(encoder, factory.load(graph.onnx, on_progress=on_progress), graph.code.slices[rate])

    loaded, of_cpu = load(tested), load(reference)
    # A gain is one over what the same backend would run in place of the tested precision.
    if options.precision is Precision.FP32:
        fp32 = loaded
    else:
        fp32 = of_cpu if tested.target == reference.target else load(tested.at(Precision.FP32))
    has_fp16 = options.precision is Precision.INT8 and tested.target.device != CPU and tested.is_fp16_built
    fp16 = load(tested.at(Precision.FP16)) if has_fp16 else None
    found = compare(
        images,
        loaded,
        of_cpu,
        fp32=fp32,
        fp16=fp16,
        fp32_device="cpu" if tested.target.device == CPU else "gpu",
        num_threads=options.num_threads,
    )
    tested.record(found)
    return found


def compare(
    images: Sequence[Tensor],
    tested: LoadedEncoder,
    reference: LoadedEncoder,
    *,
    fp32: LoadedEncoder | None = None,
    fp16: LoadedEncoder | None = None,
    fp32_device: Literal["cpu", "gpu"] = "cpu",
    num_threads: int = 1,
) -> Verification:
    """Compare an encoder with fp32 of it, and their times in turns.

    Parameters
    ----------
    images : (size, size, 3) uint8 each
    reference : fp32 that `tested` must agree with
    fp32, fp16 : precisions whose time is compared with that of `tested`; the reference in place of no `fp32`
    fp32_device, num_threads : of `fp32` and of all, for the record
    """
    features, of_fp32 = (each.features(images) for each in (tested, reference))
    cosines = np.sum(features * of_fp32, axis=1)
    codes, codes_of_fp32 = tested.codes(images), reference.codes(images)
    symbol_cosine = same_codes = None
    if codes is not None and codes_of_fp32 is not None:
        symbol_cosine, same_codes = _symbol_cosine(codes, codes_of_fp32), float(np.mean(codes == codes_of_fp32))
    timed = [tested, fp32 or reference, *([fp16] if fp16 else [])]
    latency_ms, fp32_latency_ms, *fp16_latency_ms = _medians_ms([each.whole for each in timed], images)
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
        fp16_latency_ms=fp16_latency_ms[0] if fp16_latency_ms else None,
        fp32_device=fp32_device,
    )


def _symbol_cosine(codes: Array, codes_of_fp32: Array) -> float:
    first, second = (dequantize(each, CodesFormat.SC8) for each in (codes, codes_of_fp32))
    products = np.real(np.sum(first * second.conj(), axis=1))
    return float(np.mean(products / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))))


def _medians_ms(runners: Sequence[GraphRunner], images: Sequence[Tensor]) -> list[float]:
    """Median of each, in turns, so that whatever else runs on the machine delays all alike."""
    latencies_ms: list[list[float]] = [[] for _ in runners]
    for number in range(_WARM_UP + max(_NUM_TIMED, len(images))):
        image = images[number % len(images)][None]
        for runner, each in zip(runners, latencies_ms, strict=True):
            each.append(_call_ms(runner, image))
    return [statistics.median(each[_WARM_UP:]) for each in latencies_ms]


def _call_ms(call: Callable[[Array], Array], image: Array) -> float:
    started_s = time.perf_counter()
    call(image)
    return (time.perf_counter() - started_s) * 1e3
