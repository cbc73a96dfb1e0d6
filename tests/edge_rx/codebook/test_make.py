"""Every knowledge base has a codebook that works, whatever its entries and labels are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.make import Shape, make_codebook
from edge_rx.decoders.adapted import AdaptedSignals
from edge_rx.decoders.options import Answer, DecoderOptions
from engines.models.knowledge_base_codebook import MAX_CODEBOOK_BYTES, KnowledgeBaseCodebook, label_hashes
from semlink.errors import KnowledgeBaseError
from semlink.iq import normalize_power, pair_latent
from semlink.rates import parse_rate
from tests.support.vectors import gathered, unit

DIM = 48
RATES = [parse_rate(text) for text in ("16", "64", "256", "1024")]


def made(features: np.ndarray, labels: list[str], shape: Shape | None = None, seed: int = 0) -> KnowledgeBaseCodebook:
    return make_codebook(features, labels, knowledge_base=bytes(32), space="ab" * 32, shape=shape, seed=seed)


def clusters(num_entries: int, num_points: int, *, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around random points in turn, and the number of each one's point."""
    rng = np.random.default_rng(1)
    points = np.arange(num_entries) % num_points
    vectors = rng.standard_normal((num_points, DIM))[points] + spread * rng.standard_normal((num_entries, DIM))
    return unit(vectors), points


def one_entry() -> tuple[np.ndarray, list[str]]:
    return clusters(1, 1)[0], ["a"]


def one_entry_without_a_label() -> tuple[np.ndarray, list[str]]:
    return clusters(1, 1)[0], [""]


def two_entries() -> tuple[np.ndarray, list[str]]:
    return clusters(2, 2)[0], ["a", "b"]


def one_label() -> tuple[np.ndarray, list[str]]:
    return clusters(60, 3)[0], ["a"] * 60


def labels_of_one_entry() -> tuple[np.ndarray, list[str]]:
    return clusters(300, 300)[0], [f"label {entry}" for entry in range(300)]


def more_labels_than_cells() -> tuple[np.ndarray, list[str]]:
    features, points = clusters(1500, 1100)
    return features, [f"label {point}" for point in points]


def labels_on_some() -> tuple[np.ndarray, list[str]]:
    features, points = clusters(400, 8, spread=0.15)
    return features, [f"label {point}" if entry % 15 else "" for entry, point in enumerate(points)]


def one_label_on_some() -> tuple[np.ndarray, list[str]]:
    features, points = clusters(400, 8)
    return features, ["a" if point == 0 else "" for point in points]


def identical() -> tuple[np.ndarray, list[str]]:
    return np.repeat(clusters(1, 1)[0], 50, axis=0), ["a", "b"] * 25


def each_five_times() -> tuple[np.ndarray, list[str]]:
    features, points = clusters(40, 4)
    return np.repeat(features, 5, axis=0), [f"label {point}" for point in np.repeat(points, 5)]


def all_but_one_identical() -> tuple[np.ndarray, list[str]]:
    features = clusters(2, 2)[0]
    return np.concatenate([features[:1], np.repeat(features[1:], 199, axis=0)]), ["b"] + ["a"] * 199


def constant() -> tuple[np.ndarray, list[str]]:
    return unit(np.ones((30, DIM))), [""] * 30


def constant_reals() -> tuple[np.ndarray, list[str]]:
    features, points = clusters(120, 4)
    features[:, 20:] = 0.01
    return unit(features), [f"label {point}" for point in points]


def opposite() -> tuple[np.ndarray, list[str]]:
    """Their mean is zero."""
    features, points = clusters(40, 4)
    return np.concatenate([features, -features]), [f"label {point}" for point in [*points, *(points + 4)]]


def one_is_the_mean() -> tuple[np.ndarray, list[str]]:
    features, points = clusters(40, 4)
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    return np.concatenate([features, mean[None]]), [*(f"label {point}" for point in points), "mean"]


@pytest.mark.parametrize(
    "knowledge_base",
    [
        one_entry,
        one_entry_without_a_label,
        two_entries,
        one_label,
        labels_of_one_entry,
        more_labels_than_cells,
        labels_on_some,
        one_label_on_some,
        identical,
        each_five_times,
        all_but_one_identical,
        constant,
        constant_reals,
        opposite,
        one_is_the_mean,
    ],
    ids=lambda make: make.__name__,
)
@pytest.mark.parametrize("answer", ["label", "nearest"])
def test_entries_that_are_sent_are_answered_with_their_label_or_themselves(
    knowledge_base: Callable[[], tuple[np.ndarray, list[str]]], answer: Answer
) -> None:
    features, labels = knowledge_base()
    codebook = made(features, labels)
    assert KnowledgeBaseCodebook.read(codebook.content, source="test").sha256 == codebook.sha256
    signals, expected = AdaptedSignals.of(codebook, features, labels), labels
    if answer == "label":
        # Entries without a label are sent with the cell of the label that they look like.
        of_cells = dict(zip(label_hashes(labels).tolist(), labels, strict=True))
        cells = codebook.code.cells(codebook.code.directions(features))
        decided = [of_cells.get(label, "") for label in codebook.cell_labels[cells].tolist()]
        expected = [label or other for label, other in zip(labels, decided, strict=True)]
    options = DecoderOptions(answer=answer)
    for is_high_snr, code in enumerate((codebook.code, codebook.code.for_high_snr())):
        latent = code.latent(features)
        for rate, detector in signals.detectors(RATES, options, is_high_snr=bool(is_high_snr)).items():
            sent = normalize_power(pair_latent(latent[:, : rate.latent_dim]))
            answers = [found.entry_id for found in detector.match(detector.queries(sent, np.full(len(sent), 1e-4)))]
            wrong = [
                entry
                for entry, found in enumerate(answers)
                if not (expected[entry] and expected[entry] == labels[found])
                and not np.array_equal(features[entry], features[found])
            ]
            assert wrong == [], rate


@pytest.mark.parametrize(
    "features",
    [np.zeros((0, DIM), np.float32), np.full((3, DIM), np.nan, np.float32), np.full((3, DIM), np.inf, np.float32)],
    ids=["none", "nan", "infinite"],
)
def test_entries_without_a_codebook(features: np.ndarray) -> None:
    with pytest.raises(KnowledgeBaseError, match="at least one entry, with finite features"):
        made(features, ["a"] * len(features))


def test_the_same_entries_have_the_same_codebook() -> None:
    features, labels = labels_on_some()
    assert made(features, labels).content == made(features, labels).content
    assert made(features, labels).content != made(features, labels, seed=1).content


@pytest.mark.parametrize("num_labels", [0, 900])
def test_the_largest_codebook_has_fewer_bytes_than_the_limit(num_labels: int) -> None:
    features = gathered(5000, 1280, num_points=900)
    labels = [str(entry % num_labels) if num_labels else "" for entry in range(5000)]
    codebook = made(features, labels, Shape(uses_labels=True, digital_power_share=0.8))
    assert 0.5 * MAX_CODEBOOK_BYTES < len(codebook.content) <= MAX_CODEBOOK_BYTES


def test_labels_are_used_where_they_say_what_entries_are_like() -> None:
    features, points = clusters(400, 8, spread=1.2)
    by_point = made(features, [f"label {point}" for point in points])
    assert (by_point.code.num_cells, by_point.num_labelled_cells) == (8, 8)
    assert made(features, [""] * 400).num_labelled_cells == 0
    assert made(features, ["all"] * 400).num_labelled_cells == 0, "one label tells an entry from none other"


@pytest.mark.parametrize(("unlabelled_points", "num_labelled_cells"), [({0}, 15), ({0, 1, 2}, 0)])
def test_labels_that_many_entries_lack_are_no_cells(unlabelled_points: set[int], num_labelled_cells: int) -> None:
    """Or they would be decided for the images of kinds that have no label."""
    features, points = clusters(400, 16)
    labels = ["" if point in unlabelled_points else f"label {point}" for point in points]
    assert made(features, labels).num_labelled_cells == num_labelled_cells


def test_progress_rises_to_one() -> None:
    features, labels = labels_on_some()
    shares: list[float] = []
    make_codebook(features, labels, knowledge_base=bytes(32), space="ab" * 32, on_progress=shares.append)
    assert shares == sorted(set(shares))
    assert len(shares) >= 3
    assert shares[-1] == 1.0


def test_cells_of_a_large_kb_without_labels_are_decided_by_its_strongest_components() -> None:
    features = gathered(4000, 512, num_points=2000)
    codebook = made(features, [""] * 4000)
    assert codebook.code.decides_by_projection
    assert codebook.code.num_cells > 1500
    assert not made(features[:400], [""] * 400).code.decides_by_projection
