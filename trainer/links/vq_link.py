"""Vector quantisation with spherical codewords: the digital references without labels.

    vq            one cell of k-means
    vq-residual   a cell, then a cell of what is left of the features, and so on (Juang, Gray, ICASSP 1982)
    vq-product    principal components cut in equal parts, a cell for each part (Jegou, Douze, Schmid, IEEE
                  Trans. PAMI 33(1), 2011)

A stage has `SYMBOLS_PER_STAGE` symbols, which carry its cell's number as a random codeword of signs; a rate has as
many stages as fit. The receiver decides each stage by itself, adds up what the cells stand for, and looks for
the nearest features. Nothing is sent but numbers, so a wrong one is wrong by as much as its cells are apart.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from engines.models.arrays import FloatArray, load_arrays
from semlink.errors import DatasetError
from semlink.files import replaced_file
from semlink.iq import normalize_power, pair_latent, unpair_symbols
from semlink.rates import Rate
from trainer.codecs.clusters import cluster_centres, principal_components
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split
from trainer.links.graph_link import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval
from trainer.links.signal_link import transmit_and_equalize
from trainer.threads import one_thread

__all__ = ["FIT_VERSION", "QUANTIZERS", "StagedQuantizer", "VqLink", "fitted_quantizer"]

QuantizerName: TypeAlias = Literal["vq", "vq-residual", "vq-product"]
QUANTIZERS: tuple[QuantizerName, ...] = ("vq", "vq-residual", "vq-product")

SYMBOLS_PER_STAGE = 16
"""Which carry a stage's 8 bits at 0 dB almost without error."""
_CELLS = {"vq": 1536, "vq-residual": 256, "vq-product": 256}
_MOST_STAGES = {"vq": 1, "vq-residual": 16, "vq-product": 16}
FIT_VERSION = 1


@dataclass(frozen=True, eq=False)
class StagedQuantizer:
    """Cells of every stage.

    Attributes
    ----------
    mean : (feature_dim,) float32
    projection : (feature_dim, feature_dim) float32, orthonormal; features are rotated by it first
    centres : (stages, cells, feature_dim) float32: what each cell adds to the rotated, centred features
    is_product : whether a stage sees its own part of the dimensions, or what the stages before left
    """

    mean: FloatArray
    projection: FloatArray
    centres: FloatArray
    is_product: bool

    def encode(self, features: FloatArray, num_stages: int) -> npt.NDArray[np.int64]:
        """Nearest cells, (batch, num_stages)."""
        rest = (features - self.mean) @ self.projection
        numbers = []
        for centres in self.centres[:num_stages]:
            # Centres are zero outside a product's own part, so the distance there is a constant of the image.
            distance = np.sum(centres**2, axis=1) - 2 * rest @ centres.T
            numbers.append(distance.argmin(axis=1))
            rest = rest - centres[numbers[-1]]
        return np.stack(numbers, axis=1)

    def decode(self, numbers: npt.NDArray[np.int64]) -> FloatArray:
        """What (batch, num_stages) cells stand for, (batch, feature_dim) float32."""
        summed = sum(self.centres[stage][numbers[:, stage]] for stage in range(numbers.shape[1]))
        return np.asarray(summed @ self.projection.T + self.mean, dtype=np.float32)


def fitted_quantizer(name: QuantizerName, seed: int, data: TrainingFeatures, runs: Path) -> StagedQuantizer:
    """Fit on the training part of `data`, or read what an earlier fit left in `runs`.

    Raises
    ------
    DatasetError
        If there are too few images.
    """
    key = hashlib.sha256(msgspec.json.encode([name, seed, data.content_key, FIT_VERSION])).hexdigest()[:10]
    path = runs / f"{name}-seed{seed}-{key}.npz"
    if not path.exists():
        train, *_ = paper_train_split(len(data.features), seed)
        with one_thread():
            fitted = _fit(name, seed, data.features[train])
        runs.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, mean=fitted.mean, projection=fitted.projection, centres=fitted.centres)
    stored = load_arrays(path, ("mean", "projection", "centres"), what="a quantizer")
    return StagedQuantizer(stored["mean"], stored["projection"], stored["centres"], name == "vq-product")


def _fit(name: QuantizerName, seed: int, features: FloatArray) -> StagedQuantizer:
    dim = features.shape[1]
    num_cells, num_stages = min(_CELLS[name], len(features) // 10), min(_MOST_STAGES[name], dim)
    if num_cells < 2:
        raise DatasetError(f"{len(features)} images are too few for cells: at least 20 are needed")
    mean = features.mean(axis=0)
    projection = principal_components(features - mean)
    rest = (features - mean) @ projection
    centres = np.zeros((num_stages, num_cells, dim), np.float32)
    # Components of falling variance, dealt out in turn, so that every part has its share of the large ones.
    parts = [np.arange(stage, dim, num_stages) for stage in range(num_stages)]
    for stage in range(num_stages):
        seen = parts[stage] if name == "vq-product" else np.arange(dim)
        centres[stage][:, seen] = cluster_centres(rest[:, seen], num_cells, seed=seed + stage)
        distance = np.sum(centres[stage] ** 2, axis=1) - 2 * rest @ centres[stage].T
        rest = rest - centres[stage][distance.argmin(axis=1)]
    return StagedQuantizer(mean, projection, centres, name == "vq-product")


@dataclass(frozen=True, eq=False)
class VqLink:
    """A quantizer at one rate.

    Attributes
    ----------
    codewords : (stages, cells, 2 n / stages) float32, +-sqrt(1/2)
    """

    name: str
    rate: Rate
    quantizer: StagedQuantizer
    codewords: FloatArray

    @classmethod
    def of(cls, name: str, quantizer: StagedQuantizer, rate: Rate, *, seed: int) -> VqLink:
        """Give every stage as many symbols as it needs, and the last rate's surplus to all alike."""
        num_stages = int(np.clip(rate.num_symbols // SYMBOLS_PER_STAGE, 1, len(quantizer.centres)))
        shape = (num_stages, quantizer.centres.shape[1], rate.latent_dim // num_stages)
        signs = np.random.default_rng(seed).integers(0, 2, shape)
        return cls(name, rate, quantizer, np.asarray((2 * signs - 1) * 0.5**0.5, dtype=np.float32))

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image's cells, decide them, and look for the features that they stand for."""
        num_stages = len(self.codewords)
        numbers = self.quantizer.encode(noiseless.features, num_stages)
        sent = np.concatenate([self.codewords[stage][numbers[:, stage]] for stage in range(num_stages)], axis=1)
        symbols, _ = transmit_and_equalize(normalize_power(pair_latent(sent)), conditions, rng)
        observation = unpair_symbols(symbols).reshape(len(symbols), num_stages, -1)
        # Codewords have one power, so the largest product is the nearest codeword.
        decided = [(observation[:, stage] @ self.codewords[stage].T).argmax(axis=1) for stage in range(num_stages)]
        return score_retrieval(self.quantizer.decode(np.stack(decided, axis=1)), noiseless)
