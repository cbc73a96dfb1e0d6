"""The `nested` codec: fitted without labels, for every rate and SNR at once.

What is fitted: the principal components of the features, for the analog part; cells within cells, by k-means; and
how familiar an image must look to be sent as its cell's codeword, so that all but
`analog_only_share` of held-out images of the training kind are. Nothing here sees a label, a channel or a
knowledge base. See `engines.models.codebook` for the code itself and its sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from semlink.errors import DatasetError
from semlink.files import replaced_file
from trainer.codecs.clusters import cluster_tree, principal_components
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split
from trainer.threads import one_thread

__all__ = ["FIT_VERSION", "NestedFit", "fit_codebook", "fitted_codebook"]

FIT_VERSION = 5
"""Raise it with every change of this code that changes what is fitted."""
_MOST_CELLS = 1536
_IMAGES_PER_CELL = 25
"""Training images that a cell should have, those held out counted too."""
_COARSE_SHARE = 0.95
_PSEUDO_COUNT = 3
"""Images that a cell counts on top of those that it has."""


class NestedFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a fit depends on besides its data.

    Attributes
    ----------
    num_cells : codewords, one for each cell; 1,536 take 10.6 of the 16.8 bits that 64 symbols can carry at -7 dB
    digital_power_share : of the power of a familiar image, what its codeword takes
    high_snr_digital_power_share : the same towards a receiver that reports a clear channel
    analog_only_share : of held-out images, those that count as unfamiliar; 0 sends every image as a codeword
    num_symbols : the rate at which the analog part alone has the power of a codeword
    coarse_levels : cells, and up to which real codewords are those cells': 4 and 8 symbols cannot tell 1,536 cells
        apart, and so tell those apart that differ most
    max_iterations : of k-means
    """

    seed: int = 0
    num_cells: int = _MOST_CELLS
    digital_power_share: float = _COARSE_SHARE
    high_snr_digital_power_share: float = 0.5
    analog_only_share: float = 0.05
    num_symbols: int = 64
    max_iterations: int = 20
    coarse_levels: tuple[tuple[int, int], ...] = ((128, 8), (256, 16))

    @classmethod
    def for_images(cls, seed: int, num_images: int) -> NestedFit:
        """What suits a training set: fewer cells where there are fewer than CIFAR-100's 50,000 images."""
        return cls(seed, num_cells=max(1, min(_MOST_CELLS, num_images // _IMAGES_PER_CELL)))

    @classmethod
    def for_keys(cls, seed: int, num_categories: int) -> NestedFit:
        """What suits the keys of `trainer.codecs.projection_head`: a cell for each category, around its proxy."""
        # A category is all that is asked for, and a clear channel leaves nothing more to tell.
        return cls(seed, num_cells=num_categories, analog_only_share=0.02, high_snr_digital_power_share=_COARSE_SHARE)

    def key(self, content_key: str, proxies: FloatArray | None) -> str:
        """Name of the fit's file: unique for these values, this recipe and this data."""
        named = msgspec.json.encode([self, content_key, FIT_VERSION])
        around = b"" if proxies is None else proxies.tobytes()
        return f"nested-seed{self.seed}-{hashlib.sha256(named + around).hexdigest()[:10]}"


def fitted_codebook(
    fit: NestedFit, data: TrainingFeatures, runs: Path, *, proxies: FloatArray | None = None
) -> Codebook:
    """Fit on the training part of `data`, or read what an earlier fit left in `runs`.

    The paper's split is kept to: what `kbsc` learns from and chooses its best epoch by is what this
    is fitted to and calibrated on.
    """
    path = runs / f"{fit.key(data.content_key, proxies)}.npz"
    if not path.exists():
        train, held_out, _ = paper_train_split(len(data.features), fit.seed)
        with one_thread():
            codebook = fit_codebook(data.features[train], data.features[held_out], fit, proxies=proxies)
        runs.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as temporary:
            temporary.write_bytes(codebook.to_bytes())
    return Codebook.load(path)


def fit_codebook(
    features: FloatArray, held_out: FloatArray, fit: NestedFit, *, proxies: FloatArray | None = None
) -> Codebook:
    """Fit a codebook.

    Parameters
    ----------
    features : (n, feature_dim) float32, n at least ten for each cell
    held_out : (m, feature_dim) float32, of the same kind, to calibrate the threshold on
    proxies : (num_cells, feature_dim) float32, what the cells lie around; found by k-means if None

    Raises
    ------
    DatasetError
        If there are too few features, or they are not finite.
    """
    if len(features) < 10 * fit.num_cells:
        raise DatasetError(f"{len(features)} images are too few for {fit.num_cells} cells: ten for each are needed")
    if not np.isfinite(features).all():
        raise DatasetError("features to fit a code to hold values that are not finite")
    if proxies is not None and proxies.shape != (fit.num_cells, features.shape[1]):
        raise DatasetError(f"{fit.num_cells} cells need as many proxies, got {proxies.shape}")
    mean = features.mean(axis=0)
    directions = _unit(features - mean)
    levels = _cells(directions, fit) if proxies is None else [_unit(proxies - mean)]
    centroids = levels[-1]
    projection = principal_components(directions)
    num_reals = min(2 * fit.num_symbols, features.shape[1])
    analog_power = np.square(directions @ projection[:, :num_reals]).sum(axis=1).mean()
    codebook = Codebook(
        mean=mean,
        projection=projection,
        centroids=centroids,
        codewords=_codewords(levels, fit),
        cell_shares=_cell_shares(directions, centroids),
        energy_score_threshold=0.0,
        digital_power_share=fit.digital_power_share,
        high_snr_digital_power_share=fit.high_snr_digital_power_share,
        analog_scale=float(np.sqrt(num_reals / analog_power)),
    )
    energy_score = codebook.energy_score(codebook.directions(held_out) @ codebook.centroids.T)
    # Nothing counts as unfamiliar where no share does; -inf would be no number that a graph can hold.
    threshold = float(np.quantile(energy_score, fit.analog_only_share)) if fit.analog_only_share else -1e9
    return replace(codebook, energy_score_threshold=threshold)


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _cells(directions: FloatArray, fit: NestedFit) -> list[FloatArray]:
    """Centroids of each level of cells, as `cluster_tree` gives them; the last are the cells themselves."""
    coarse = [size for size, _ in fit.coarse_levels if size < fit.num_cells]
    return cluster_tree(directions, [*coarse, fit.num_cells], seed=fit.seed, max_iterations=fit.max_iterations)


def _codewords(levels: Sequence[FloatArray], fit: NestedFit) -> npt.NDArray[np.int8]:
    """Signs of random projections: neighbouring cells get neighbouring codewords, first of the coarse levels.

    So an error lands on a look-alike: what the channel cannot carry is lost from the meaning's far end.
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
    """How often each cell is the nearest; none never, though no training image may be left in it."""
    counts = np.bincount((directions @ centroids.T).argmax(axis=1), minlength=len(centroids)) + _PSEUDO_COUNT
    return np.asarray(counts / counts.sum(), dtype=np.float32)
