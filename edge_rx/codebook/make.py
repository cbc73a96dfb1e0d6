"""Make the codebook of a knowledge base, with the shape that simulated transmissions of its own entries favour."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_rx.codebook.analog import ANALOG_DIM, agreement, half_whitening, mean_of, unit
from edge_rx.codebook.cells import MOST_CLUSTER_CELLS, MOST_LABEL_CELLS, Cells, cells_of
from edge_rx.codebook.codewords import CODE_DIM, separated_codewords, similar_codewords
from edge_rx.codebook.discriminants import (
    Discriminants,
    fit_discriminants,
    nearest_centroids,
    nearest_entries,
    neighbour_share,
)
from edge_rx.codebook.simulate import HeldOut, SimulatedCode, simulate
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.knowledge_base_codebook import MAX_CODEBOOK_BYTES, KnowledgeBaseCodebook
from semlink.errors import KnowledgeBaseError
from semlink.rates import parse_rate

__all__ = ["Shape", "choose_shape", "make_codebook"]

_SHORT_REALS = 32
_SHORT_DIGITAL_SHARE = 0.95
"""Least share of the power that a codeword has at 16 symbols and below, where it needs nearly all of it.

Measured at 16 symbols with labels on digits, flowers12 and CIFAR-10's test images. Accuracy at -7 dB: .65, .73, .58
with a share of .8; .72, .79, .62 with .95; .73, .79, .62 with 1. The analog part finds the entry of the label at
high SNR. Cosine of answer and image at 10 dB: .91, .74, .29 with a share of .95; .87, .68, .22 with 1.
"""
_HIGH_SNR_DIGITAL_SHARE = 0.5
_LABELLED_SHARES = (0.6, 0.7, 0.8, 0.9)
_DEFAULT_LABELLED_SHARE = 0.8
_UNLABELLED_SHARE = 0.95
"""Nothing in a knowledge base without labels tells what a wrong cell costs, so that this one is not measured. Where
entries have cells of their own, the analog part has nothing to add."""
_CHOICE_RATE = parse_rate("64")
_CHOICE_SNR_DB = (-7.0, 0.0, 10.0)
_MOST_SENT = 1024
_MOST_KEPT = 20_000
"""Entries that are drawn to choose a shape, of a larger knowledge base, which bounds the time of it."""
_MOST_UNLABELLED = 0.1
"""Share of entries without a label up to which cells are labels; above it, cells of labels would take many images of
the kinds that have none."""
_LEAST_ENTRIES = 10
"""Entries below which nothing is held out to choose a shape by."""
_TOLERANCE = 0.01
"""Loss of accuracy that more analog power may cost."""
_LABELS_TOLERANCE = 0.03
"""Loss of accuracy at `_CHOICE_RATE` that cells of labels may have against k-means cells: a choice, not measured.

Labels are fewer cells, which fewer symbols tell apart: at 16 symbols and 0 dB, CIFAR-10's test images have .763
with labels and .601 without (docs/results.md).
"""
_CHOICE_WORK = 0.5
"""Share of the work, roughly, that the choice of a shape is."""
_BYTES_BESIDES_CELLS = 20_000
"""Of a codebook's file: names, headers, mean and power shares, with a margin."""


@dataclass(frozen=True)
class Shape:
    """What is chosen by measuring.

    Attributes
    ----------
    uses_labels : whether cells are labels, where entries have them
    digital_power_share : share of the power that a codeword has from 16 symbols on
    """

    uses_labels: bool
    digital_power_share: float


def make_codebook(
    features: FloatArray,
    labels: Sequence[str],
    *,
    knowledge_base: bytes,
    space: str,
    shape: Shape | None = None,
    seed: int = 0,
    num_threads: int = 1,
    on_progress: Callable[[float], None] | None = None,
) -> KnowledgeBaseCodebook:
    """Make the codebook of a knowledge base.

    Parameters
    ----------
    features : (entries, feature_dim) float32 of unit length, of the image encoder
    labels : label of each entry, "" without one
    knowledge_base : fingerprint of the knowledge base, 32 bytes
    space : fingerprint of the image encoder, in hex
    shape : chosen by measuring if None
    seed : of codewords, k-means and what is held out
    num_threads : CPU threads of k-means
    on_progress : called with the share of the work that is done, 0..1

    Raises
    ------
    KnowledgeBaseError
        If there are no entries, or the features are not finite.
    """
    _require_entries(features)
    on_progress = on_progress or _ignore
    maker = _Maker(knowledge_base, space, seed, num_threads)
    codebook = maker.make(features, labels, shape or maker.choose_shape(features, labels, on_progress))
    on_progress(1.0)
    return codebook


def choose_shape(features: FloatArray, labels: Sequence[str], *, seed: int = 0, num_threads: int = 1) -> Shape:
    """Choose the shape of a codebook by measuring; see `make_codebook` for parameters and errors."""
    _require_entries(features)
    return _Maker(bytes(32), "0" * 64, seed, num_threads).choose_shape(features, labels, _ignore)


def _require_entries(features: FloatArray) -> None:
    if not len(features) or not np.isfinite(features).all():
        raise KnowledgeBaseError("a codebook is made of at least one entry, with finite features")


@dataclass(frozen=True)
class _Maker:
    knowledge_base: bytes
    space: str
    seed: int
    num_threads: int

    def choose_shape(self, features: FloatArray, labels: Sequence[str], on_progress: Callable[[float], None]) -> Shape:
        """Hold out entries, send them to the rest with every shape, and take the best; see `_best_shape`."""
        # One label tells an entry from none other.
        has_labels = _num_labels(labels) > 1
        # Cells of labels would take the images of many entries without one, and answer them with a label.
        has_labels &= sum(not label for label in labels) <= _MOST_UNLABELLED * len(labels)
        has_labels &= _num_labels(labels) <= self._most_labels(features.shape[1])
        if len(features) < _LEAST_ENTRIES:
            return Shape(has_labels, _DEFAULT_LABELLED_SHARE if has_labels else _UNLABELLED_SHARE)
        rng = np.random.default_rng(self.seed)
        num_sent = min(_MOST_SENT, len(features) // 5)
        if len(features) > num_sent + _MOST_KEPT:
            drawn = np.sort(rng.choice(len(features), num_sent + _MOST_KEPT, replace=False))
            features, labels = features[drawn], [labels[at] for at in drawn]
        held_out = HeldOut.of(features, labels, rng.permutation(len(features))[:num_sent])
        if not (has_labels and {*held_out.kept_labels} & {*held_out.sent_labels} - {""}):
            return Shape(False, _UNLABELLED_SHARE)
        shapes = [Shape(True, share) for share in _LABELLED_SHARES]
        unlabelled = self._accuracies(held_out, [Shape(False, _UNLABELLED_SHARE)])
        on_progress(_CHOICE_WORK / 2)
        labelled = self._accuracies(held_out, shapes)
        on_progress(_CHOICE_WORK)
        return _best_shape(labelled, unlabelled)

    def _accuracies(self, held_out: HeldOut, shapes: Sequence[Shape]) -> dict[Shape, list[float]]:
        """Accuracy of each shape at each SNR; all shapes have the same cells."""
        parts = self._parts(held_out.kept, held_out.kept_labels, uses_labels=shapes[0].uses_labels)
        found = {}
        for shape in shapes:
            codebook = self._codebook(parts, shape.digital_power_share)
            code = SimulatedCode.adapted(codebook, held_out.kept, held_out.kept_labels)
            retrievals = simulate(code, held_out, _CHOICE_RATE, _CHOICE_SNR_DB, seed=self.seed)
            found[shape] = [each.accuracy for each in retrievals]
        return found

    def make(self, features: FloatArray, labels: Sequence[str], shape: Shape) -> KnowledgeBaseCodebook:
        """Make the codebook of a shape."""
        return self._codebook(self._parts(features, labels, uses_labels=shape.uses_labels), shape.digital_power_share)

    @staticmethod
    def _most_labels(dim: int) -> int:
        return min(MOST_LABEL_CELLS, _most_cells(dim, dim))

    def _parts(self, features: FloatArray, labels: Sequence[str], *, uses_labels: bool) -> _Parts:
        mean = mean_of(features)
        directions = unit(features - mean)
        projection = half_whitening(directions)
        dim = features.shape[1]
        most = self._most_labels(dim)
        if not uses_labels or _num_labels(labels) > most:
            return self._parts_without_labels(features, mean, projection)
        cells = cells_of(directions, labels, most=most, seed=self.seed, num_threads=self.num_threads)
        discriminants = fit_discriminants(directions, cells)
        words = (
            _words(cells.num_cells, self.seed)
            if cells.are_labels
            else similar_codewords(cells.means(directions), seed=self.seed)
        )
        return _Parts(mean, projection, cells, discriminants, words, agreement(directions @ projection, cells))

    def _parts_without_labels(self, features: FloatArray, mean: FloatArray, projection: FloatArray) -> _Parts:
        """Cells of k-means: by the strongest components alone where the cells of all reals would take too much room."""
        feature_dim, analog_dim = projection.shape
        lengths = np.linalg.norm(projection, axis=0)
        directions = unit(features - mean)
        points, most = directions, min(MOST_CLUSTER_CELLS, _most_cells(feature_dim, feature_dim))
        decides_by_projection = len(directions) > most and analog_dim < feature_dim
        if decides_by_projection:
            points = directions @ (projection / lengths)
            most = min(MOST_CLUSTER_CELLS, _most_cells(feature_dim, analog_dim))
        cells = cells_of(points, [""] * len(points), most=most, seed=self.seed, num_threads=self.num_threads)
        discriminants = (
            nearest_centroids(points, cells) if decides_by_projection else nearest_entries(features, mean, cells)
        )
        share = neighbour_share(features, points, cells, discriminants)
        words = similar_codewords(discriminants.centroids, seed=self.seed)
        discriminants = replace(discriminants, accuracies=np.full(cells.num_cells, share, np.float32))
        if decides_by_projection:  # whose coordinates are those of the points times the lengths of its columns
            discriminants = replace(discriminants, centroids=discriminants.centroids / lengths)
        return _Parts(mean, projection, cells, discriminants, words, agreement(directions @ projection, cells))

    def _codebook(self, parts: _Parts, digital_power_share: float) -> KnowledgeBaseCodebook:
        shares = np.full(CODE_DIM, digital_power_share, np.float32)
        shares[:_SHORT_REALS] = max(_SHORT_DIGITAL_SHARE, digital_power_share)
        counts = parts.cells.counts()
        code = Codebook(
            mean=parts.mean,
            projection=parts.projection,
            centroids=parts.discriminants.centroids,
            codewords=parts.codewords,
            cell_shares=np.asarray(counts / counts.sum(), dtype=np.float32),
            energy_score_threshold=None,
            digital_power_share=shares,
            high_snr_digital_power_share=np.full(CODE_DIM, _HIGH_SNR_DIGITAL_SHARE, np.float32),
            analog_scale=1.0,
            offsets=parts.discriminants.offsets,
        )
        return KnowledgeBaseCodebook.of(
            code,
            cell_labels=parts.cells.labels,
            cell_accuracies=parts.discriminants.accuracies,
            agreement=parts.agreement,
            knowledge_base=self.knowledge_base,
            space=self.space,
        )


@dataclass(frozen=True, eq=False)
class _Parts:
    """All of a codebook but its power shares."""

    mean: FloatArray
    projection: FloatArray
    cells: Cells
    discriminants: Discriminants
    codewords: npt.NDArray[np.int8]
    agreement: float


def _best_shape(labelled: dict[Shape, list[float]], unlabelled: dict[Shape, list[float]]) -> Shape:
    """The shape with the best mean accuracy, with as much analog power as costs it next to nothing.

    Parameters
    ----------
    labelled, unlabelled : accuracies at each SNR, of shapes with cells of labels and without
    """
    best, best_unlabelled = (max(each, key=lambda shape: np.mean(each[shape])) for each in (labelled, unlabelled))
    if np.mean(unlabelled[best_unlabelled]) > np.mean(labelled[best]) + _LABELS_TOLERANCE:
        return best_unlabelled
    alike = [
        shape
        for shape, values in labelled.items()
        if all(value >= most - _TOLERANCE for value, most in zip(values, labelled[best], strict=True))
    ]
    return min(alike, key=lambda shape: shape.digital_power_share)


@functools.lru_cache(maxsize=1)
def _words(num_cells: int, seed: int) -> npt.NDArray[np.int8]:
    """Codewords of labels, searched for once for the choice of a shape and for the codebook of that shape."""
    words = separated_codewords(num_cells, seed=seed)
    words.flags.writeable = False  # it is shared
    return words


def _num_labels(labels: Sequence[str]) -> int:
    return len({*labels} - {""})


def _ignore(share: float) -> None:
    """Where nobody asks for progress."""


def _most_cells(feature_dim: int, centroid_dim: int) -> int:
    """Largest number of cells whose codebook stays below `MAX_CODEBOOK_BYTES`."""
    besides = _BYTES_BESIDES_CELLS + ANALOG_DIM * (feature_dim + 4)
    per_cell = centroid_dim + CODE_DIM // 8 + 24  # centroid, codeword, scale, offset, share, accuracy and label
    return (MAX_CODEBOOK_BYTES - besides) // per_cell
