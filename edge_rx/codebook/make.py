"""Make the codebook of a knowledge base, with the shape that simulated transmissions of its own entries favour."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rx.codebook.cells import MOST_CELLS, Cells, cells_of
from edge_rx.codebook.codewords import CODE_DIM, separated_codewords, similar_codewords
from edge_rx.codebook.discriminants import Discriminants, fit_discriminants, nearest_centroids
from edge_rx.codebook.simulate import HeldOut, SimulatedCode, simulate
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.knowledge_base_codebook import MAX_CODEBOOK_BYTES, KnowledgeBaseCodebook
from semlink.errors import KnowledgeBaseError
from semlink.rates import parse_rate

__all__ = ["Shape", "choose_shape", "make_codebook"]

_ANALOG_DIM = 96
"""Most principal components of the analog part, which repeats them: the strongest, which the first reals carry with
little power, come again before the end of 64 symbols."""
_WHITENING = -0.25
"""Exponent of a component's variance in its amplitude: half whitened, which is the best linear code in white noise."""
_SHORT_REALS = 32
_SHORT_DIGITAL_SHARE = 0.95
"""At 16 symbols and below, noise leaves nothing of an analog part."""
_HIGH_SNR_DIGITAL_SHARE = 0.5
_LABELLED_SHARES = (0.6, 0.7, 0.8, 0.9)
_DEFAULT_LABELLED_SHARE = 0.8
_UNLABELLED_SHARE = 0.9
"""Nothing in a knowledge base without labels tells what a wrong cell costs, so that this one is not measured."""
_CHOICE_RATE = parse_rate("64")
_CHOICE_SNR_DB = (-7.0, 0.0, 10.0)
_MOST_SENT = 256
_MOST_KEPT = 20_000
"""Entries that are drawn to choose a shape, of a larger knowledge base, which bounds the time of it."""
_LEAST_ENTRIES = 10
"""Entries below which nothing is held out to choose a shape by."""
_TOLERANCE = 0.01
"""Loss of accuracy that more analog power may cost."""
_LABELS_TOLERANCE = 0.03
"""Loss of accuracy that cells of labels may have against k-means cells: they take fewer bits, and so shorter codes."""
_MOST_PAIRS = 2048
_BLOCK = 8192
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
        has_labels = len({label for label in labels if label}) > 1
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

    def _parts(self, features: FloatArray, labels: Sequence[str], *, uses_labels: bool) -> _Parts:
        mean = _mean(features)
        directions = _unit(features - mean)
        most = _most_cells(features.shape[1])
        names = labels if uses_labels else [""] * len(labels)
        cells = cells_of(directions, names, most=most, num_threads=self.num_threads)
        is_labelled = any(cells.labels)
        discriminants = (
            fit_discriminants(directions, cells, seed=self.seed)
            if is_labelled
            else nearest_centroids(directions, cells)
        )
        words = (
            _words(cells.num_cells, self.seed)
            if cells.are_labels
            else similar_codewords(cells.means(directions), seed=self.seed)
        )
        projection = _half_whitening(directions)
        return _Parts(mean, projection, cells, discriminants, words, _agreement(directions @ projection, cells))

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
    return separated_codewords(num_cells, seed=seed)


def _ignore(share: float) -> None:
    """Where nobody asks for progress."""


def _most_cells(feature_dim: int) -> int:
    """Largest number of cells whose codebook stays below `MAX_CODEBOOK_BYTES`."""
    besides = _BYTES_BESIDES_CELLS + _ANALOG_DIM * (feature_dim + 4)
    per_cell = feature_dim + CODE_DIM // 8 + 20  # centroid, codeword, scale, offset, share and label
    return min(MOST_CELLS, (MAX_CODEBOOK_BYTES - besides) // per_cell)


def _mean(features: FloatArray) -> FloatArray:
    """The mean of the features; zero if one of them equals it, which then would have no direction."""
    mean = np.asarray(features.mean(axis=0, dtype=np.float64), dtype=np.float32)
    distances = np.linalg.norm(features - mean, axis=1)
    return mean if distances.min() > 1e-5 * np.linalg.norm(features, axis=1).max() else np.zeros_like(mean)


def _unit(rows: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def _half_whitening(directions: FloatArray) -> FloatArray:
    """Principal components, (feature_dim, analog_dim), scaled to the mean power of a codeword over the first reals."""
    products = np.zeros((directions.shape[1],) * 2)
    for start in range(0, len(directions), _BLOCK):
        block = directions[start : start + _BLOCK]
        products += block.T @ block
    variances, axes = np.linalg.eigh(products / len(directions))
    strongest = np.argsort(-variances)[:_ANALOG_DIM]
    kept = strongest[variances[strongest] > 1e-6 * variances.max()]
    projection = np.asarray(axes[:, kept] * variances[kept] ** _WHITENING, dtype=np.float32)
    # A real has a mean square of one half, as a codeword's has once the transmitter has normalised its power.
    power = np.square(directions @ projection).sum(axis=1).mean() / len(kept)
    return np.asarray(projection / np.sqrt(power), dtype=np.float32)


def _agreement(analog: FloatArray, cells: Cells) -> float:
    """Median correlation of an entry's analog part with the most similar other one of its cell."""
    unit = _unit(analog)
    order = np.argsort(cells.of_entries, kind="stable")
    starts = np.concatenate([[0], np.cumsum(cells.counts())])
    nearest: list[float] = []
    for start, end in itertools.pairwise(starts.tolist()):
        members = unit[order[start : min(end, start + _MOST_PAIRS)]]
        if len(members) < 2:
            continue
        products = members @ members.T
        np.fill_diagonal(products, -1.0)
        nearest += products.max(axis=1).tolist()
    return float(np.clip(np.median(nearest), 0.1, 0.95)) if nearest else 0.5
