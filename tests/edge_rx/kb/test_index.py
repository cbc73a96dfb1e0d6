from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_rx.kb.index import FlatIndex
from semlink.errors import KnowledgeBaseError, MissingDependencyError


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((50, 12)).astype(np.float32)


@pytest.fixture
def index(vectors: np.ndarray) -> FlatIndex:
    index = FlatIndex(12)
    index.add(vectors[:20])
    index.add(vectors[20:])
    return index


def test_search_is_the_brute_force_cosine(index: FlatIndex, vectors: np.ndarray) -> None:
    queries = np.random.default_rng(1).standard_normal((5, 12)).astype(np.float32) * 7
    cosine = queries @ vectors.T / np.linalg.norm(queries, axis=1, keepdims=True) / np.linalg.norm(vectors, axis=1)

    entry_ids, scores = index.search(queries, num_matches=3)

    assert entry_ids.dtype == np.int64
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(entry_ids, np.argsort(-cosine, axis=1)[:, :3])
    np.testing.assert_allclose(scores, -np.sort(-cosine, axis=1)[:, :3], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_querys_length_does_not_matter(index: FlatIndex, vectors: np.ndarray, scale: float) -> None:
    entry_ids, scores = index.search((vectors[3:4] * np.float32(scale)), num_matches=1)
    assert entry_ids[0, 0] == 3
    assert scores[0, 0] == pytest.approx(1.0, abs=1e-6)


def test_more_matches_than_entries_gives_all(index: FlatIndex, vectors: np.ndarray) -> None:
    entry_ids, _ = index.search(vectors[:1], num_matches=1000)
    assert sorted(entry_ids[0]) == list(range(50))


def test_threads_do_not_change_the_answer(index: FlatIndex, vectors: np.ndarray) -> None:
    one = index.search(vectors, num_matches=5)
    index.num_threads = 2
    two = index.search(vectors, num_matches=5)
    np.testing.assert_array_equal(one[0], two[0])


@pytest.mark.parametrize(
    "queries",
    [
        np.zeros((1, 12), np.float32),
        np.full((1, 12), np.nan, np.float32),
        np.ones((1, 11), np.float32),
        np.ones(12, np.float32),
        np.ones((1, 12), np.float64),
    ],
    ids=["zero", "nan", "dimension", "rank", "dtype"],
)
def test_a_query_without_direction_or_of_another_shape_is_refused(index: FlatIndex, queries: np.ndarray) -> None:
    with pytest.raises(KnowledgeBaseError, match="queries must be"):
        index.search(queries, num_matches=1)
    with pytest.raises(KnowledgeBaseError, match="vectors must be"):
        index.add(queries)


def test_limits_are_named(index: FlatIndex, vectors: np.ndarray) -> None:
    with pytest.raises(KnowledgeBaseError, match="num_matches must be at least 1, got 0"):
        index.search(vectors, num_matches=0)
    with pytest.raises(KnowledgeBaseError, match="got 0 and 1"):
        FlatIndex(0)
    with pytest.raises(KnowledgeBaseError, match="got 4 and 0"):
        FlatIndex(4, num_threads=0)


def test_save_and_load(index: FlatIndex, vectors: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    index.save(path)
    loaded = FlatIndex.load(path, feature_dim=12)
    assert len(loaded) == 50
    np.testing.assert_array_equal(loaded.vectors(0, 50), index.vectors(0, 50))
    assert [path.name for path in tmp_path.iterdir()] == ["index.faiss"], "nothing temporary may stay"


@pytest.mark.parametrize("keep", [0, 3, 20, 200])
def test_a_file_cut_short_is_damage(index: FlatIndex, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "index.faiss"
    index.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(KnowledgeBaseError, match=r"index\.faiss: damaged, build the knowledge base again"):
        FlatIndex.load(path, feature_dim=12)


def test_foreign_bytes_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    path.write_bytes(np.random.default_rng(0).bytes(4096))
    with pytest.raises(KnowledgeBaseError, match="damaged"):
        FlatIndex.load(path, feature_dim=12)


def test_another_dimension_is_named(index: FlatIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "index.faiss")
    with pytest.raises(
        KnowledgeBaseError, match="expected IndexFlatIP of dimension 16, found IndexFlatIP of dimension 12"
    ):
        FlatIndex.load(tmp_path / "index.faiss", feature_dim=16)


def test_saving_where_nothing_can_be_written(index: FlatIndex, tmp_path: Path) -> None:
    with pytest.raises(KnowledgeBaseError, match="cannot be written"):
        index.save(tmp_path / "nowhere" / "index.faiss")


def test_without_faiss_the_message_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"needs faiss; in semlink's folder run: pip .*'\.\[cpu\]'"):
        FlatIndex(4)
