"""Comparing two precisions: what is found of known features, codes and times, and where the result is kept."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from engines.agreement import Tolerance, tolerance
from engines.backends.runner import TensorSpec
from engines.backends.target import DEFAULT_TARGET, Device, Target
from engines.encoder_precision import build_encoder, default_store, encoder_key
from engines.graphs.quantize import Int8Style, at_precision
from engines.options import EngineOptions, Precision
from engines.verification import LoadedEncoder, compare, verify_engine
from semlink.errors import ConfigError
from tests.support.model_sets import make_model_set
from tests.support.onnxruntime_fixtures import driver_fixture, runtime_fixture  # noqa: F401
from tests.support.precisions import RATE, Precisions, smooth_images
from tests.support.recording_onnxruntime import RecordingOnnxRuntime

Array = npt.NDArray[Any]

IMAGES = [np.full((2, 2, 3), number, np.uint8) for number in range(3)]


class Table:
    """A graph that gives a known output for each image."""

    description = "table"
    input = TensorSpec("image", np.dtype(np.uint8), (1, 2, 2, 3))

    def __init__(self, rows: list[Array]) -> None:
        self._rows = rows
        self.output = TensorSpec("output", rows[0].dtype, (1, *rows[0].shape))
        self.num_calls = 0

    def __call__(self, tensor: Array) -> Array:
        self.num_calls += 1
        return self._rows[int(tensor.flat[0])][None]


def unit(*degrees: float) -> list[Array]:
    return [np.array([np.cos(np.radians(each)), np.sin(np.radians(each))], np.float32) for each in degrees]


def test_features_and_codes_are_compared() -> None:
    one, other = np.array([[9, 9], [100, 0]], np.int8), np.array([[9, 9], [0, 100]], np.int8)
    transmitters = Table([one, one, other]), Table([one, one, one])
    tested = LoadedEncoder(Table(unit(0, 0, 60)), transmitters[0], slice(1, 2))
    reference = LoadedEncoder(Table(unit(0, 0, 0)), transmitters[1], slice(1, 2))
    found = compare(IMAGES, tested, reference, num_threads=3)
    assert (found.num_images, found.num_threads) == (3, 3)
    assert found.feature_cosine == pytest.approx((1 + 1 + 0.5) / 3)
    assert found.feature_cosine_least == pytest.approx(0.5)
    assert found.symbol_cosine == pytest.approx(2 / 3)
    assert found.same_codes == pytest.approx(4 / 6)
    assert found.latency_ms > 0
    assert transmitters[0].num_calls == transmitters[1].num_calls > 50


def test_without_a_codec_features_alone_are_compared() -> None:
    encoder = Table(unit(0, 0, 0))
    found = compare(IMAGES, LoadedEncoder(encoder), LoadedEncoder(Table(unit(0, 0, 0))))
    assert (found.symbol_cosine, found.same_codes) == (None, None)
    assert encoder.num_calls > 50


@pytest.mark.parametrize(
    ("needed", "is_within"),
    [(Tolerance(0.98, 0.9), True), (Tolerance(0.995, 0.9), False), (Tolerance(0.98, 0.99), False)],
)
def test_both_the_mean_and_the_least_must_be_close(needed: Tolerance, is_within: bool) -> None:
    # 0.9927 on average, 0.9781 at least.
    found = compare(IMAGES, LoadedEncoder(Table(unit(0, 0, 12))), LoadedEncoder(Table(unit(0, 0, 0))))
    assert found.is_within(needed) is is_within


@pytest.mark.parametrize(("latency_ms", "is_faster"), [(4.8, True), (9.4, True), (9.6, False), (13.8, False)])
def test_a_twentieth_of_the_time_is_no_gain(small: Precisions, latency_ms: float, is_faster: bool) -> None:
    store = default_store(small.models, small.engines)
    found = store.verification(encoder_key(small.models, Precision.INT8, DEFAULT_TARGET))
    assert found is not None
    changed = msgspec.structs.replace(found, latency_ms=latency_ms, fp32_latency_ms=10.0)
    assert changed.is_faster is is_faster


def test_the_builtin_encoder_agrees_on_this_processor(builtin: Precisions) -> None:
    """Whatever it is: tests/engines/graphs/test_weight_ranges.py has the arithmetic of others."""
    found = default_store(builtin.models, builtin.engines).verification(
        encoder_key(builtin.models, Precision.INT8, DEFAULT_TARGET)
    )
    assert found is not None
    assert found.is_within(tolerance(Precision.INT8, on_gpu=False))
    assert (found.num_images, found.symbol_cosine is None) == (8, False)


def test_a_model_set_without_a_codec_is_verified_for_index(tmp_path: Path) -> None:
    models = make_model_set(tmp_path / "models", rates=(), size_px=14)
    options = EngineOptions(backend="onnxruntime", device="cpu", precision=Precision.INT8, engines=tmp_path / "engines")
    found = verify_engine(models, options, smooth_images(14, 8), rate=RATE)
    assert found.symbol_cosine is None
    key = encoder_key(models, Precision.INT8, DEFAULT_TARGET)
    assert default_store(models, options.engines).verification(key) == found


def test_no_image_is_an_error(small: Precisions) -> None:
    with pytest.raises(ConfigError, match="verified on images, got none"):
        verify_engine(small.models, small.options(Precision.INT8), [], rate=RATE)


@pytest.fixture(scope="module")
def symmetric(small: Precisions) -> bytes:
    """int8 as a GPU has it."""
    path, pictures = small.models.encoder_path, small.images
    return at_precision(path, Precision.INT8, style=Int8Style.SYMMETRIC, pictures=pictures).SerializeToString()


@pytest.fixture
def durations_ms(runtime: RecordingOnnxRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands still except in calls: one on the GPU takes 1 ms, one on the CPU 10 ms."""
    now_s, done = [0.0], runtime.done

    def advance(what: str, *details: Any) -> None:
        now_s[0] += {"run bound": 0.001, "run": 0.01}.get(what, 0.0)
        done(what, *details)

    monkeypatch.setattr(runtime, "done", advance)
    monkeypatch.setattr(time, "perf_counter", lambda: now_s[0])


@pytest.mark.usefixtures("durations_ms")
def test_on_a_gpu_an_engine_is_timed_beside_fp32_and_fp16_there(
    small: Precisions, symmetric: bytes, tmp_path: Path
) -> None:
    options = EngineOptions(backend="onnxruntime", device="gpu", precision=Precision.INT8, engines=tmp_path / "engines")
    store, target = default_store(small.models, options.engines), Target("onnxruntime", Device(0))
    key = encoder_key(small.models, Precision.INT8, target)
    store.find_or_build(key, lambda: symmetric)
    found = verify_engine(small.models, options, small.images[:8], rate=RATE)
    assert (found.latency_ms, found.fp32_latency_ms) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (found.fp32_device, found.fp16_latency_ms, found.is_faster) == ("gpu", None, False)
    build_encoder(small.models, Precision.FP16, store, target=target)
    found = verify_engine(small.models, options, small.images[:8], rate=RATE)
    assert found.fp16_latency_ms == pytest.approx(1.0)
    assert store.verification(key) == found
