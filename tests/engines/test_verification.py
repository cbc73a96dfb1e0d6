"""Comparing two precisions: what is found of known features, codes and times, and where the result is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from engines.agreement import TOLERANCES, Tolerance
from engines.backends.runner import TensorSpec
from engines.backends.target import DEFAULT_TARGET
from engines.encoder_precision import default_store, encoder_key
from engines.options import EngineOptions, Precision
from engines.verification import compare, verify_engine
from semlink.errors import ConfigError
from tests.support.model_sets import make_model_set
from tests.support.precisions import RATE, Precisions, smooth_images

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
    encoders = Table(unit(0, 0, 60)), Table(unit(0, 0, 0))
    one, other = np.array([[9, 9], [100, 0]], np.int8), np.array([[9, 9], [0, 100]], np.int8)
    transmitters = Table([one, one, other]), Table([one, one, one])
    found = compare(IMAGES, encoders, transmitters, codes_slice=slice(1, 2), num_threads=3)
    assert (found.num_images, found.num_threads) == (3, 3)
    assert found.feature_cosine == pytest.approx((1 + 1 + 0.5) / 3)
    assert found.feature_cosine_least == pytest.approx(0.5)
    assert found.symbol_cosine == pytest.approx(2 / 3)
    assert found.same_codes == pytest.approx(4 / 6)
    assert found.latency_ms > 0
    assert transmitters[0].num_calls == transmitters[1].num_calls > 50


def test_without_a_codec_features_alone_are_compared() -> None:
    encoders = Table(unit(0, 0, 0)), Table(unit(0, 0, 0))
    found = compare(IMAGES, encoders)
    assert (found.symbol_cosine, found.same_codes) == (None, None)
    assert encoders[0].num_calls > 50


@pytest.mark.parametrize(
    ("tolerance", "is_within"),
    [(Tolerance(0.98, 0.9), True), (Tolerance(0.995, 0.9), False), (Tolerance(0.98, 0.99), False)],
)
def test_both_the_mean_and_the_least_must_be_close(tolerance: Tolerance, is_within: bool) -> None:
    found = compare(IMAGES, (Table(unit(0, 0, 12)), Table(unit(0, 0, 0))))  # 0.9927 on average, 0.9781 at least
    assert found.is_within(tolerance) is is_within


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
    assert found.is_within(TOLERANCES[Precision.INT8])
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
