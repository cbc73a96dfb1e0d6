"""The graph of a nested code is the code in numpy, whichever of its parts a codebook has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx.numpy_helper
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.backends.runner import load_runner
from engines.graphs.nested import nested_encoder
from engines.models.codebook import Codebook
from engines.models.codewords import LATENT_DIM
from semlink.errors import EngineError
from tests.support.codebooks import small_code, small_codebook

FEATURES = np.random.default_rng(5).standard_normal((40, 16)).astype(np.float32)
THRESHOLD = 4.05
"""Energy score with about half of the images on each side."""


def latent_of(codebook: Codebook) -> np.ndarray:
    """Both codes of the graph, (2, images, LATENT_DIM)."""
    shares = [codebook.digital_power_share, codebook.high_snr_digital_power_share]
    latent = load_runner(nested_encoder(codebook, shares).SerializeToString())(FEATURES)
    return latent.reshape(len(FEATURES), 2, LATENT_DIM).swapaxes(0, 1)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"offsets": None},
        {"digital_power_share": 0.8, "high_snr_digital_power_share": 0.3},
        {"energy_score_threshold": THRESHOLD, "offsets": None},
        {"energy_score_threshold": THRESHOLD, "digital_power_share": 0.8, "offsets": None},
    ],
    ids=["of a knowledge base", "no offsets", "one share", "threshold", "threshold and one share"],
)
def test_graph_is_the_code_in_numpy(change: dict[str, object]) -> None:
    assert_graph_is(replace(small_code(), **change))


@pytest.mark.parametrize("dim", [16, 24])
def test_graph_of_a_code_without_cells(dim: int) -> None:
    """It sends what `latent` does, and holds nothing of cells."""
    rng = np.random.default_rng(6)
    features, mean = rng.standard_normal((40, dim)).astype(np.float32), np.full(dim, 0.1, np.float32)
    codebook = Codebook.without_cells(mean, rng.standard_normal((dim, dim)).astype(np.float32), analog_scale=1.5)
    model = nested_encoder(codebook, [codebook.digital_power_share])
    np.testing.assert_allclose(load_runner(model.SerializeToString())(features), codebook.latent(features), atol=2e-5)
    assert {tensor.name for tensor in model.graph.initializer} >= {"mean", "projection"}
    assert not {tensor.name for tensor in model.graph.initializer} & {"centroids", "codewords", "digital_0", "analog_0"}
    assert "ArgMax" not in {node.op_type for node in model.graph.node}


def test_code_without_cells_has_no_power_to_share() -> None:
    codebook = Codebook.without_cells(np.zeros(16, np.float32), np.eye(16, dtype=np.float32), analog_scale=4.0)
    with pytest.raises(EngineError, match="no codewords to share the power with"):
        nested_encoder(codebook, (0.0, 0.5))


def test_cells_are_decided_by_the_projection() -> None:
    codebook = small_code(decides_by_projection=True)
    assert_graph_is(codebook)
    assert len(set(codebook.cells(codebook.directions(FEATURES)))) > 2


def assert_graph_is(codebook: Codebook) -> None:
    blind, high_snr = latent_of(codebook)
    np.testing.assert_allclose(blind, codebook.latent(FEATURES), atol=2e-5)
    np.testing.assert_allclose(high_snr, codebook.for_high_snr().latent(FEATURES), atol=2e-5)
    assert np.abs(blind - high_snr).max() > 0.1
    if codebook.energy_score_threshold is not None:
        assert 0.2 < np.mean(np.abs(blind - high_snr).max(axis=1) > 0.1) < 0.8


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([8, 64, 96, 100]), st.data())
def test_codes_of_any_length_with_fewer_analog_reals(seed: int, code_dim: int, data: st.DataObject) -> None:
    analog_dim = data.draw(st.integers(1, min(16, code_dim)))
    codebook = small_code(code_dim=code_dim, analog_dim=analog_dim, seed=seed)
    blind, high_snr = latent_of(codebook)
    np.testing.assert_allclose(blind, codebook.latent(FEATURES), atol=2e-5)
    np.testing.assert_allclose(high_snr, codebook.for_high_snr().latent(FEATURES), atol=2e-5)


def test_offsets_decide_cells() -> None:
    """Else the test above could pass without them."""
    codebook = small_code()
    without = replace(codebook, offsets=None)
    directions = codebook.directions(FEATURES)
    assert (codebook.cells(directions) != without.cells(directions)).any()


@pytest.mark.parametrize(
    ("codebook", "dtype"), [(small_codebook().code, np.float32), ("halves", np.float16)], ids=["8 bits", "fp16"]
)
def test_matrices_are_stored_without_loss(codebook: Codebook | str, dtype: type) -> None:
    """Both ends compute with the numbers of the file: 8 bits times a scale, or fp16."""
    if isinstance(codebook, str):
        code = small_code()
        halves = {name: getattr(code, name).astype(np.float16) for name in ("projection", "centroids")}
        codebook = replace(code, **{name: values.astype(np.float32) for name, values in halves.items()})
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in nested_encoder(codebook).graph.initializer}
    assert stored["centroids"].dtype == stored["projection"].dtype == dtype
    np.testing.assert_array_equal(stored["centroids"].T, codebook.centroids)
    np.testing.assert_array_equal(stored["projection"], codebook.projection)
