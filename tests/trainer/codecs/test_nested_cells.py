"""Fitting the code of `nested-cells`, and its graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs semlink[train]")

from engines.backends.runner import load_runner
from engines.graphs.nested import nested_encoder
from engines.models.codebook import Codebook
from engines.models.codewords import LATENT_DIM
from semlink.errors import DatasetError
from tests.support.vectors import unit
from trainer.codecs.clusters import cluster_tree
from trainer.codecs.nested_cells import CellsFit, fit_codebook, fitted_codebook
from trainer.codecs.training_data import TrainingFeatures

FIT = CellsFit(num_cells=20, analog_only_share=0.1)
DIM = 16


def clustered(num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of twenty kinds."""
    centres = np.random.default_rng(0).standard_normal((20, DIM))
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 20, num_images)
    return unit(centres[kinds] + 0.35 * rng.standard_normal((num_images, DIM))), kinds


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return fit_codebook(clustered(1000, 1)[0], clustered(500, 2)[0], FIT)


def test_same_seed_same_code(codebook: Codebook) -> None:
    again = fit_codebook(clustered(1000, 1)[0], clustered(500, 2)[0], FIT)
    assert again.to_bytes() == codebook.to_bytes()
    assert np.array_equal(again.projection, codebook.projection)


def test_projection_is_orthonormal_and_its_columns_fall_in_power(codebook: Codebook) -> None:
    np.testing.assert_allclose(codebook.projection.T @ codebook.projection, np.eye(DIM), atol=1e-5)
    power = np.square(codebook.directions(clustered(1000, 1)[0]) @ codebook.projection).mean(axis=0)
    assert (np.diff(power) <= 1e-6).all()


def test_share_of_held_out_images_below_the_threshold(codebook: Codebook) -> None:
    def share(features: np.ndarray) -> float:
        similarity = codebook.directions(features) @ codebook.centroids.T
        assert codebook.energy_score_threshold is not None
        return float(np.mean(codebook.energy_score(similarity) < codebook.energy_score_threshold))

    assert share(clustered(500, 2)[0]) == pytest.approx(0.1, abs=0.01)
    others = np.random.default_rng(3).standard_normal((500, DIM)).astype(np.float32)
    assert share(others) > 0.5


@pytest.mark.parametrize("dim", [DIM, 24])
def test_graph_gives_what_numpy_gives(dim: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    features = rng.standard_normal((400, dim)).astype(np.float32)
    path = tmp_path / "codebook.npz"
    path.write_bytes(fit_codebook(features, features, FIT).to_bytes())
    codebook = Codebook.load(path)
    graph = load_runner(nested_encoder(codebook).SerializeToString())
    latent, expected = graph(features), codebook.latent(features)
    assert latent.shape == (400, LATENT_DIM)
    np.testing.assert_allclose(latent, expected, atol=2e-5)


def test_graph_gives_both_codes_of_a_link_with_reports(codebook: Codebook) -> None:
    features = clustered(200, 4)[0]
    graph = load_runner(
        nested_encoder(
            codebook, (codebook.digital_power_share, codebook.high_snr_digital_power_share)
        ).SerializeToString()
    )
    latent = graph(features)
    # The graph's matrices are fp16.
    np.testing.assert_allclose(latent[:, :LATENT_DIM], codebook.latent(features), atol=2e-3)
    np.testing.assert_allclose(latent[:, LATENT_DIM:], codebook.for_high_snr().latent(features), atol=2e-3)
    assert np.abs(latent[:, :LATENT_DIM] - latent[:, LATENT_DIM:]).max() > 0.1


def test_bad_data_is_named() -> None:
    features = clustered(1000, 1)[0]
    with pytest.raises(DatasetError, match="too few for 20 cells"):
        fit_codebook(features[:100], features, FIT)
    broken = features.copy()
    broken[7, 3] = np.nan
    with pytest.raises(DatasetError, match="not finite"):
        fit_codebook(broken, features, FIT)


def test_fit_is_kept_and_bound_to_its_data(tmp_path: Path) -> None:
    features, kinds = clustered(2000, 1)
    first = fitted_codebook(FIT, TrainingFeatures(features, kinds, "clusters", "key"), tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    again = fitted_codebook(FIT, TrainingFeatures(features, kinds, "clusters", "key"), tmp_path)
    assert again.to_bytes() == first.to_bytes()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == kept
    fitted_codebook(FIT, TrainingFeatures(features, kinds, "clusters", "another key"), tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_first_reals_are_those_of_the_coarse_cells() -> None:
    """Cells of one coarse cell have the same first reals, and others behind; without levels, others from the first."""
    features, _ = clustered(6000, 7)
    fit = CellsFit(num_cells=60, coarse_levels=((5, 4), (20, 8)))
    directions = features - features.mean(axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    levels = cluster_tree(directions, [5, 20, 60], seed=fit.seed, max_iterations=fit.max_iterations)
    codebook = fit_codebook(features, clustered(500, 2)[0], fit)
    np.testing.assert_allclose(codebook.centroids, levels[-1], atol=1e-6)
    for level, part in ((levels[0], slice(0, 4)), (levels[1], slice(4, 8))):
        _, cells = np.unique(level, axis=0, return_inverse=True)
        for cell in range(cells.max() + 1):
            words = codebook.codewords[cells.ravel() == cell]
            assert len(np.unique(words[:, part], axis=0)) == 1
    assert len(np.unique(codebook.codewords[:, 8:], axis=0)) > 20
    flat = fit_codebook(features, clustered(500, 2)[0], CellsFit(num_cells=60, coarse_levels=()))
    assert len(np.unique(flat.codewords[:, :4], axis=0)) > 5
