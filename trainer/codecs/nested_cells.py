"""The codec `nested-cells`: `nested` with cells and codewords, for knowledge bases that are like the training set.

The fit gives the mean and the analog part, as that of `nested` does; cells within cells, by k-means; and the energy
score from which an image is sent as its cell's codeword, such that all but `analog_only_share` of held-out images of
the training set's kind are. It uses no label, no channel and no knowledge base. See `engines.models.codebook` for the
code itself and its sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from semlink.errors import DatasetError
from semlink.files import replaced_file
from trainer.codecs.clusters import cluster_tree
from trainer.codecs.fitting import FittingContext
from trainer.codecs.nested import analog_part, centred_directions, fit_each_seed
from trainer.codecs.run_lock import locked_run
from trainer.codecs.spec import FitKey, FittedModel
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split
from trainer.threads import one_thread

__all__ = ["CellsFit", "fit_codebook", "fit_nested_cells", "fitted_codebook", "fitted_nested_cells"]

FIT_VERSION = 5
"""Raise it with every change of this code that changes what is fitted."""
_MOST_CELLS = 1536
_IMAGES_PER_CELL = 25
"""Training images that a cell should have, held-out ones included."""
_DIGITAL_POWER_SHARE = 0.95
_PSEUDO_COUNT = 3
"""Images added to each cell's count, so that no cell has probability 0."""


class CellsFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a fit depends on besides its data.

    Attributes
    ----------
    num_cells : codewords, one for each cell; 1,536 take 10.6 of the 16.8 bits that 64 symbols can carry at -7 dB
    digital_power_share : share of an image's power that its codeword has, 0..1; the analog part has the rest
    high_snr_digital_power_share : the same for a receiver that reports a high SNR
    analog_only_share : share of held-out images whose energy score is below the threshold, and that are sent
        without a codeword, 0..1; 0 sends every image as a codeword
    num_symbols : the rate at which the analog part alone has the power of a codeword
    coarse_levels : pairs of a number of coarse cells and a number of reals: up to that real, codewords depend on the
        coarse cell only, because 4 and 8 symbols cannot distinguish 1,536 cells
    max_iterations : of k-means
    """

    seed: int = 0
    num_cells: int = _MOST_CELLS
    digital_power_share: float = _DIGITAL_POWER_SHARE
    high_snr_digital_power_share: float = 0.5
    analog_only_share: float = 0.05
    num_symbols: int = 64
    max_iterations: int = 20
    coarse_levels: tuple[tuple[int, int], ...] = ((128, 8), (256, 16))

    @classmethod
    def for_images(cls, seed: int, num_images: int) -> CellsFit:
        """Settings for a training set: fewer cells if there are fewer images than CIFAR-100's 50,000."""
        return cls(seed, num_cells=max(1, min(_MOST_CELLS, num_images // _IMAGES_PER_CELL)))

    @classmethod
    def for_projection(cls, seed: int, num_categories: int) -> CellsFit:
        """Settings for projected features (`trainer.codecs.projection_head`): a cell around each category's proxy."""
        # The category is the whole message, so a high SNR leaves nothing for the analog part to add.
        return cls(
            seed, num_cells=num_categories, analog_only_share=0.02, high_snr_digital_power_share=_DIGITAL_POWER_SHARE
        )

    def key(self, content_key: str, proxies: FloatArray | None) -> str:
        """Name of the fit's file: unique for these values, this version of the code and this data."""
        named = msgspec.json.encode([self, content_key, FIT_VERSION])
        proxy_bytes = b"" if proxies is None else proxies.tobytes()
        return f"nested-cells-seed{self.seed}-{hashlib.sha256(named + proxy_bytes).hexdigest()[:10]}"


def fit_nested_cells(keys: Sequence[FitKey], context: FittingContext) -> Mapping[FitKey, FittedModel]:
    """Fit `nested-cells`, a codebook for each seed."""
    return fit_each_seed("nested-cells", fitted_nested_cells, keys, context)


def fitted_nested_cells(seed: int, data: TrainingFeatures, runs: Path) -> Codebook:
    """Fit `nested-cells` with the settings for the size of the training set, or read an earlier fit."""
    return fitted_codebook(CellsFit.for_images(seed, len(data.features)), data, runs)


def fitted_codebook(
    fit: CellsFit, data: TrainingFeatures, runs: Path, *, proxies: FloatArray | None = None
) -> Codebook:
    """Fit to the training part of `data`, or read an earlier fit from `runs`.

    The split is the paper's: the cells are fitted to the images that `kbsc` is trained on, and the threshold is
    calibrated on those by which it selects its best epoch.
    """
    path = runs / f"{fit.key(data.content_key, proxies)}.npz"
    with locked_run(path):
        if not path.exists():
            train, held_out, _ = paper_train_split(len(data.features), fit.seed)
            with one_thread():
                codebook = fit_codebook(data.features[train], data.features[held_out], fit, proxies=proxies)
            with replaced_file(path) as temporary:
                temporary.write_bytes(codebook.to_bytes())
    return Codebook.load(path)


def fit_codebook(
    features: FloatArray, held_out: FloatArray, fit: CellsFit, *, proxies: FloatArray | None = None
) -> Codebook:
    """Fit a codebook.

    Parameters
    ----------
    features : (n, feature_dim) float32, n at least ten for each cell
    held_out : (m, feature_dim) float32, of the same distribution, to calibrate the threshold on
    proxies : (num_cells, feature_dim) float32, the cells' centres; found by k-means if None

    Raises
    ------
    DatasetError
        If there are too few features, or they are not finite or all the same.
    """
    if len(features) < 10 * fit.num_cells:
        raise DatasetError(f"{len(features)} images are too few for {fit.num_cells} cells: ten for each are needed")
    if proxies is not None and proxies.shape != (fit.num_cells, features.shape[1]):
        raise DatasetError(f"{fit.num_cells} cells need as many proxies, got {proxies.shape}")
    mean, directions = centred_directions(features)
    levels = _cells(directions, fit) if proxies is None else [_unit(proxies - mean)]
    centroids = levels[-1]
    projection, analog_scale = analog_part(directions, num_symbols=fit.num_symbols)
    codebook = Codebook(
        mean=mean,
        projection=projection,
        centroids=centroids,
        codewords=_codewords(levels, fit),
        cell_shares=_cell_shares(directions, centroids),
        energy_score_threshold=0.0,
        digital_power_share=fit.digital_power_share,
        high_snr_digital_power_share=fit.high_snr_digital_power_share,
        analog_scale=analog_scale,
    )
    energy_score = codebook.energy_score(codebook.directions(held_out) @ codebook.centroids.T)
    # Below every score if no image is to be sent without a codeword; a graph cannot hold -inf.
    threshold = float(np.quantile(energy_score, fit.analog_only_share)) if fit.analog_only_share else -1e9
    return replace(codebook, energy_score_threshold=threshold)


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _cells(directions: FloatArray, fit: CellsFit) -> list[FloatArray]:
    """Centroids of each level of cells, (num_cells, feature_dim) each; those of the last level are the cells'."""
    coarse = [size for size, _ in fit.coarse_levels if size < fit.num_cells]
    return cluster_tree(directions, [*coarse, fit.num_cells], seed=fit.seed, max_iterations=fit.max_iterations)


def _codewords(levels: Sequence[FloatArray], fit: CellsFit) -> npt.NDArray[np.int8]:
    """Signs of random projections, (num_cells, dim): neighbouring cells have similar codewords.

    An error of the detector therefore gives a similar cell. The first reals are those of the coarse levels.
    """
    *coarse, centroids = levels
    dim = centroids.shape[1]
    rng = np.random.default_rng(fit.seed)
    projected = (centroids - centroids.mean(axis=0)) @ rng.standard_normal((dim, dim))
    start = 0
    for centres, (_, end) in zip(coarse, fit.coarse_levels, strict=False):
        end = min(end, dim)
        projected[:, start:end] = (centres - centres.mean(axis=0)) @ rng.standard_normal((dim, end - start))
        start = end
    return np.where(projected > 0, np.int8(1), np.int8(-1))


def _cell_shares(directions: FloatArray, centroids: FloatArray) -> FloatArray:
    """Prior probability of each cell, (num_cells,), above 0 also for a cell without a training image."""
    counts = np.bincount((directions @ centroids.T).argmax(axis=1), minlength=len(centroids)) + _PSEUDO_COUNT
    return np.asarray(counts / counts.sum(), dtype=np.float32)
