"""The nested code: what it promises of every prefix, and what a damaged file says."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.models.codebook import Codebook
from engines.models.codewords import LATENT_DIM
from semlink.errors import EngineError, ModelSetError

DIM, CELLS = 16, 8


@pytest.fixture
def codebook() -> Codebook:
    """Eight cells around eight of sixteen axes; a direction near one of them has a high energy score."""
    rng = np.random.default_rng(0)
    return Codebook(
        mean=np.full(DIM, 0.1, np.float32),
        projection=np.eye(DIM, dtype=np.float32),
        centroids=np.eye(DIM, dtype=np.float32)[:CELLS],
        codewords=rng.choice(np.array([-1, 1], np.int8), (CELLS, DIM)),
        cell_shares=np.full(CELLS, 1 / CELLS, np.float32),
        energy_score_threshold=8.0,
        digital_power_share=0.9,
        high_snr_digital_power_share=0.5,
        analog_scale=4.0,
    )


def test_familiar_image_is_sent_as_its_cell_and_a_stranger_as_it_is(codebook: Codebook) -> None:
    axes = np.eye(DIM, dtype=np.float32) + codebook.mean
    latent = codebook.latent(axes)
    assert latent.shape == (DIM, LATENT_DIM)
    share = 0.9**0.5 * codebook.codewords + 0.1**0.5 * 4.0 * np.eye(DIM, dtype=np.float32)[:CELLS]
    np.testing.assert_allclose(latent[:CELLS, :DIM], share, rtol=1e-5)
    np.testing.assert_allclose(latent[CELLS:, :DIM], 4.0 * np.eye(DIM, dtype=np.float32)[CELLS:], atol=1e-5)


@pytest.fixture
def without_cells(codebook: Codebook) -> Codebook:
    """The same mean and projection, without the cells."""
    return Codebook.without_cells(codebook.mean, codebook.projection, analog_scale=codebook.analog_scale)


def test_code_without_cells_sends_every_image_as_its_analog_part(codebook: Codebook, without_cells: Codebook) -> None:
    axes = np.eye(DIM, dtype=np.float32) + codebook.mean
    latent = without_cells.latent(axes)
    np.testing.assert_allclose(latent, np.tile(4.0 * np.eye(DIM), LATENT_DIM // DIM), atol=1e-5)
    np.testing.assert_array_equal(latent[CELLS:], codebook.latent(axes)[CELLS:])
    assert (codebook.has_cells, without_cells.has_cells, without_cells.num_cells) == (True, False, 0)
    assert not without_cells.has_high_snr_code


def test_file_of_a_code_without_cells(without_cells: Codebook, tmp_path: Path) -> None:
    path = tmp_path / "codebook.npz"
    path.write_bytes(without_cells.to_bytes())
    stored = Codebook.load(path)
    assert stored.to_bytes() == without_cells.to_bytes()
    assert (stored.num_cells, stored.code_dim, stored.energy_score_threshold) == (0, DIM, None)
    features = np.random.default_rng(1).standard_normal((5, DIM)).astype(np.float32)
    np.testing.assert_allclose(stored.latent(features), without_cells.latent(features), atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"digital_power_share": 0.5},
        {"high_snr_digital_power_share": 0.5},
        {"energy_score_threshold": 0.0},
    ],
)
def test_code_without_cells_has_nothing_that_is_of_cells(without_cells: Codebook, change: dict[str, object]) -> None:
    with pytest.raises(ModelSetError, match="without cells"):
        replace(without_cells, **change)


def test_code_repeats_until_the_longest_is_full(codebook: Codebook) -> None:
    latent = codebook.latent(np.eye(DIM, dtype=np.float32))
    np.testing.assert_array_equal(latent, np.tile(latent[:, :DIM], LATENT_DIM // DIM))
    wide = Codebook(
        mean=np.zeros(768, np.float32),
        projection=np.eye(768, dtype=np.float32),
        centroids=np.eye(768, dtype=np.float32)[:2],
        codewords=np.ones((2, 768), np.int8),
        cell_shares=np.full(2, 0.5, np.float32),
        energy_score_threshold=0.0,
        digital_power_share=0.9,
        high_snr_digital_power_share=0.5,
        analog_scale=1.0,
    )
    assert wide.latent(np.eye(768, dtype=np.float32)[:3]).shape == (3, LATENT_DIM)


def test_codebook_of_before_there_was_a_choice_shares_its_power_in_one_way(codebook: Codebook, tmp_path: Path) -> None:
    assert codebook.has_high_snr_code
    with np.load(io.BytesIO(codebook.to_bytes())) as stored:
        older = {name: stored[name] for name in stored if name != "clear_share"}
    np.savez(tmp_path / "older.npz", **older)
    read = Codebook.load(tmp_path / "older.npz")
    assert (read.digital_power_share, read.has_high_snr_code) == (codebook.digital_power_share, False)


def test_image_of_a_batch_has_the_code_that_it_has_alone(codebook: Codebook) -> None:
    features = np.random.default_rng(1).standard_normal((5, DIM)).astype(np.float32)
    alone = np.concatenate([codebook.latent(row[None]) for row in features])
    np.testing.assert_allclose(codebook.latent(features), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((2, DIM + 1), np.float32), "must be"),
        (np.zeros(DIM, np.float32), "must be"),
        (np.full((1, DIM), np.nan, np.float32), "finite"),
        (np.full((1, DIM), 0.1, np.float32), "differ from the codebook's mean"),
    ],
)
def test_features_without_a_direction_are_refused(codebook: Codebook, features: np.ndarray, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        codebook.latent(features)


def test_file_holds_the_codebook(codebook: Codebook, tmp_path: Path) -> None:
    path = tmp_path / "codebook.npz"
    path.write_bytes(codebook.to_bytes())
    stored = Codebook.load(path)
    assert stored.to_bytes() == codebook.to_bytes()
    features = np.random.default_rng(1).standard_normal((5, DIM)).astype(np.float32)
    np.testing.assert_allclose(stored.latent(features), codebook.latent(features), atol=1e-3)


def test_damaged_files_are_named(codebook: Codebook, tmp_path: Path) -> None:
    path = tmp_path / "codebook.npz"
    whole = codebook.to_bytes()
    with pytest.raises(ModelSetError, match="No such file"):
        Codebook.load(path)
    for damaged in (b"", b"nothing", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(ModelSetError, match="does not hold a codebook"):
            Codebook.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": np.zeros(DIM + 1, np.float32)},
        {"codewords": np.ones((CELLS + 1, DIM), np.int8)},
        {"cell_shares": np.ones(CELLS + 1, np.float32)},
        {"digital_power_share": 0.0},
    ],
)
def test_parts_that_do_not_fit_are_refused(codebook: Codebook, change: dict[str, object]) -> None:
    with pytest.raises(ModelSetError, match="codebook"):
        replace(codebook, **change)
