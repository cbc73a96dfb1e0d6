"""int8 weights with which no product saturates: the bound itself, and whole graphs in emulated arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engines.backends.runner import load_runner
from engines.graphs.quantize import Int8Style, at_precision
from engines.graphs.weight_ranges import WeightRange, unsaturated_range
from engines.options import Precision
from tests.support.model_sets import make_model_set
from tests.support.saturating_products import SATURATING, Products, run, sum_of_products

Weights = npt.NDArray[np.float32]

SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
)


def full_range(weights: Weights) -> Weights:
    """What ONNX Runtime's quantizer does by itself."""
    return np.abs(weights).reshape(len(weights), -1).max(axis=1)


def quantized(weights: Weights, ranges: Weights) -> npt.NDArray[np.int8]:
    steps = np.maximum(ranges, np.finfo(np.float32).tiny).reshape(-1, *[1] * (weights.ndim - 1)) / 127
    return np.rint(weights / steps).astype(np.int8)


@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(-4, 4, width=16))))
def test_no_pair_of_products_saturates(weights: Weights) -> None:
    ranges = unsaturated_range(weights)
    assert np.all(ranges >= full_range(weights))
    assert np.all(ranges <= 2 * full_range(weights))
    codes = quantized(weights, ranges)
    for layout in (codes, np.moveaxis(codes, 1, -1)):
        rows = layout.reshape(len(codes), -1)
        for largest in (np.where(rows > 0, 255, 0), np.where(rows < 0, 255, 0)):  # the worst activations for each row
            exact = sum_of_products(largest.astype(np.uint8), rows, Products.EXACT)
            assert np.array_equal(exact, sum_of_products(largest.astype(np.uint8), rows, Products.SATURATING_NCHW))


def test_the_emulated_products_saturate_in_full_range() -> None:
    """Two pairs: the first is cut to the largest int16, the second is not."""
    activations, weights = np.array([[255, 255, 255, 1]], np.uint8), np.array([[127, 127, 127, 127]], np.int8)
    assert sum_of_products(activations, weights, Products.EXACT).item() == 255 * 254 + 256 * 127
    assert sum_of_products(activations, weights, Products.SATURATING_NCHW).item() == 32_767 + 256 * 127


@pytest.fixture(scope="module", params=[Int8Style.CALIBRATED, Int8Style.DYNAMIC])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Int8Style, int]:
    """Graph of an fp32 encoder, the int8 that suits it, and the size of its images."""
    is_convolutional = request.param is Int8Style.CALIBRATED
    size_px = 28 if is_convolutional else 8
    models = make_model_set(tmp_path_factory.mktemp("encoder"), size_px=size_px, convolutional=is_convolutional)
    return models.encoder_path, request.param, size_px


def images_for(size_px: int, count: int) -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, size_px // 4, size_px // 4, 1), np.uint8))


def in_int8(encoder: tuple[Path, Int8Style, int], weight_range: WeightRange = unsaturated_range) -> onnx.ModelProto:
    path, style, size_px = encoder
    pictures = list(images_for(size_px, 40)) if style is Int8Style.CALIBRATED else ()
    return at_precision(path, Precision.INT8, style=style, pictures=pictures, weight_range=weight_range)


def test_int8_is_the_same_on_processors_that_saturate(encoder: tuple[Path, Int8Style, int]) -> None:
    """And the emulation is what ONNX Runtime computes here, whatever this processor has."""
    model, images = in_int8(encoder), images_for(encoder[2], 3)
    exact = run(model, images, Products.EXACT)
    for products in SATURATING:
        assert np.array_equal(run(model, images, products), exact)
    here = load_runner(model.SerializeToString())(images)
    assert np.sum(here * exact, axis=1).min() > 0.9999
    reference = load_runner(encoder[0])(images)
    assert np.sum(here * reference, axis=1).min() > 0.99


def test_in_full_range_it_would_not_be(encoder: tuple[Path, Int8Style, int]) -> None:
    model, images = in_int8(encoder, full_range), images_for(encoder[2], 3)
    exact = run(model, images, Products.EXACT)
    for products in SATURATING:
        assert np.abs(run(model, images, products) - exact).max() > 1e-3  # far more than a rounding of unit vectors
