"""Searches that look at a part of the entries: what they find of what there is, and where they are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

import faiss

from edge_rx.decoders.options import Answer, DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.approximate import InvertedLists, SearchIndex
from edge_rx.kb.gpu_search import GpuSearch, SearchPrecision
from edge_rx.kb.index import FlatIndex, open_search_device
from edge_rx.pipeline import Receiver
from edge_rx.results import ResultsLog
from edge_rx.summary import summarize
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError
from semlink.frame import pack
from semlink.image import RGBImage
from tests.support.frames import FrameMaker
from tests.support.model_sets import make_model_set
from tests.support.recording_faiss import RecordingFaiss
from tests.support.vectors import gathered

NUM_ENTRIES, DIM = 5_000, 32
LEAST_RECALL = 0.98


@pytest.fixture(scope="module")
def entries() -> np.ndarray:
    return gathered(NUM_ENTRIES, DIM, num_points=60)


@pytest.fixture(scope="module")
def queries(entries: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    noise = 0.3 * rng.standard_normal((500, DIM))
    return (entries[rng.integers(0, NUM_ENTRIES, 500)] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def exact(entries: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    index = FlatIndex(DIM)
    index.add(entries)
    return index.search(queries, num_matches=1)


def recall(found: np.ndarray, exact: tuple[np.ndarray, np.ndarray]) -> float:
    return float(np.mean(found[:, 0] == exact[0][:, 0]))


class TestOnTheCpu:
    def test_lists_find_nearly_all_and_look_at_a_part(
        self, entries: np.ndarray, queries: np.ndarray, exact: tuple[np.ndarray, np.ndarray]
    ) -> None:
        index = FlatIndex(DIM, kind=SearchIndex.IVF)
        index.add(entries)
        found, scores = index.search(queries, num_matches=1)
        got = recall(found, exact)
        assert LEAST_RECALL <= got <= 1.0
        same = found[:, 0] == exact[0][:, 0]
        np.testing.assert_allclose(scores[same], exact[1][same], atol=1e-5)
        assert (scores <= exact[1] + 1e-5).all(), "none is nearer than the nearest"
        assert index.description == "ivf: 128 lists, 16 of them searched, CPU, fp32"

    def test_what_was_added_later_is_found(self, entries: np.ndarray, queries: np.ndarray) -> None:
        index = FlatIndex(DIM, kind=SearchIndex.IVF)
        index.add(entries[:200])
        index.search(queries[:1], num_matches=1)
        index.add(queries[:1])
        assert index.search(queries[:1], num_matches=1)[0][0, 0] == 200

    def test_what_is_kept_stays_exact(self, entries: np.ndarray, tmp_path: Path) -> None:
        index = FlatIndex(DIM, kind=SearchIndex.IVF)
        index.add(entries)
        index.search(entries[:1], num_matches=1)
        index.save(tmp_path / "index.faiss")
        kept = FlatIndex.load(tmp_path / "index.faiss", feature_dim=DIM)
        np.testing.assert_array_equal(kept.vectors(0, NUM_ENTRIES), index.vectors(0, NUM_ENTRIES))
        assert kept.description == "flat, CPU, fp32"

    @pytest.mark.parametrize("count", [1, 2, 12, 100])
    def test_few_entries_are_all_looked_at(
        self, entries: np.ndarray, count: int, capfd: pytest.CaptureFixture[str]
    ) -> None:
        index = FlatIndex(DIM, kind=SearchIndex.IVF)
        index.add(entries[:count])
        found, _ = index.search(entries[:count], num_matches=1)
        np.testing.assert_array_equal(found[:, 0], np.arange(count))
        assert capfd.readouterr() == ("", ""), "faiss has nothing to warn of"


class TestSorting:
    """Entries into lists, on a CPU: it takes long, and may fail."""

    @pytest.fixture
    def index(self, entries: np.ndarray) -> FlatIndex:
        index = FlatIndex(DIM, num_threads=1, kind=SearchIndex.IVF)
        index.add(entries[:200])
        return index

    def train_with(self, monkeypatch: pytest.MonkeyPatch, train: Callable[..., None]) -> None:
        monkeypatch.setattr(faiss.IndexIVFFlat, "train", train)

    def test_every_core_sorts_and_the_search_has_its_own_number(
        self, index: FlatIndex, entries: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train, used = faiss.IndexIVFFlat.train, []
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5})
        self.train_with(monkeypatch, lambda *given: used.append(faiss.omp_get_max_threads()) or train(*given))
        index.search(entries[:1], num_matches=1)
        assert used == [3]
        assert faiss.omp_get_max_threads() == 1

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (
                RuntimeError("Error in void faiss::x(int) at x.cpp:12: Error: 'n > 0' failed: why"),
                "'n > 0' failed: why",
            ),
            (MemoryError("std::bad_alloc"), "std::bad_alloc"),
        ],
    )
    def test_what_faiss_refuses_is_one_line(
        self,
        index: FlatIndex,
        entries: np.ndarray,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        words: str,
    ) -> None:
        def train(*_: object) -> None:
            raise error

        self.train_with(monkeypatch, train)
        with pytest.raises(EngineError) as raised:
            index.search(entries[:1], num_matches=1)
        assert str(raised.value).startswith("200 entries cannot be sorted into lists: ")
        assert str(raised.value).endswith(f"{words}; --search-index flat needs none")
        assert "\n" not in str(raised.value)
        assert faiss.omp_get_max_threads() == 1


def test_lists_grow_with_the_entries_and_stay_full() -> None:
    for num_entries in (1, 39, 78, 1_000, 10**5, 10**7, 10**9):
        lists = InvertedLists.of(num_entries)
        assert 1 <= lists.num_searched <= lists.num_lists <= max(1, num_entries // 39)
        assert lists.num_searched <= 2048
    assert InvertedLists.of(10**7) == InvertedLists(num_lists=12649, num_searched=1582)


class TestOnAGpu:
    """Over the stand-in for faiss's GPU classes."""

    @pytest.mark.parametrize("precision", list(SearchPrecision))
    def test_lists(
        self, entries: np.ndarray, queries: np.ndarray, exact: tuple[np.ndarray, np.ndarray], precision: SearchPrecision
    ) -> None:
        recording = RecordingFaiss()
        index = FlatIndex(DIM, gpu=GpuSearch(recording, precision), kind=SearchIndex.IVF)
        index.add(entries)
        for _ in range(2):
            found, scores = index.search(queries, num_matches=1)
        assert recall(found, exact) >= LEAST_RECALL
        np.testing.assert_allclose(scores, exact[1], atol=0.2)
        metric = recording.METRIC_INNER_PRODUCT
        if precision is SearchPrecision.FP32:
            assert recording.named("ivf") == [(DIM, 128, metric, 0)]
        else:
            assert recording.named("ivf fp16") == [(DIM, 128, metric, False, 0)]
        assert recording.named("train") == [((NUM_ENTRIES, DIM),)], "lists are made once"
        assert index.description == f"ivf: 128 lists, 16 of them searched, GPU, {precision.value}"

    def test_a_graph_of_neighbours_gives_cosines(
        self, entries: np.ndarray, queries: np.ndarray, exact: tuple[np.ndarray, np.ndarray]
    ) -> None:
        recording = RecordingFaiss(has_cuvs=True)
        index = FlatIndex(DIM, gpu=GpuSearch(recording), kind=SearchIndex.CAGRA)
        index.add(entries)
        found, scores = index.search(queries, num_matches=1)
        np.testing.assert_array_equal(found, exact[0])
        np.testing.assert_allclose(scores, exact[1], atol=1e-5)
        assert recording.named("cagra") == [(DIM, 0)]
        with pytest.raises(KnowledgeBaseError, match="at most 64 on a GPU, got 65"):
            index.search(queries, num_matches=65)

    def test_a_build_without_cuvs(self, entries: np.ndarray) -> None:
        index = FlatIndex(DIM, gpu=GpuSearch(RecordingFaiss()), kind=SearchIndex.CAGRA)
        index.add(entries)
        with pytest.raises(
            EngineError, match=r"built without cuVS; .* pip install faiss-gpu-cuvs; or --search-index ivf"
        ):
            index.search(entries[:1], num_matches=1)

    def test_too_few_entries_for_a_graph(self, entries: np.ndarray) -> None:
        index = FlatIndex(DIM, gpu=GpuSearch(RecordingFaiss(has_cuvs=True)), kind=SearchIndex.CAGRA)
        index.add(entries[:999])
        with pytest.raises(EngineError, match="at least 1000 entries, got 999; --search-index flat"):
            index.search(entries[:1], num_matches=1)


class TestChoice:
    def test_a_graph_of_neighbours_needs_a_gpu(self) -> None:
        for device in ("cpu", "auto"):
            with pytest.raises(ConfigError, match="--search-index cagra needs --device gpu"):
                open_search_device(device, SearchPrecision.FP32, SearchIndex.CAGRA)
        with pytest.raises(ConfigError, match="cagra needs a GPU"):
            FlatIndex(DIM, kind=SearchIndex.CAGRA)

    def test_a_graph_of_neighbours_has_no_half_precision(self) -> None:
        with pytest.raises(ConfigError, match="cagra holds fp32 vectors"):
            open_search_device("gpu", SearchPrecision.FP16, SearchIndex.CAGRA)


class TestReceiver:
    def test_features_are_searched_so_and_the_summary_says_it(
        self,
        built_kb: Path,
        model_set: ModelSet,
        maker: FrameMaker,
        pictures: dict[str, RGBImage],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with KnowledgeBase.open(built_kb, search_index=SearchIndex.IVF) as knowledge_base:
            decoders = Decoders.of(model_set, knowledge_base, DecoderOptions(answer="nearest"))
            receiver = Receiver(decoders, knowledge_base)
            assert "search index ivf: for features alone; adapted, index search signals, all of them" in caplog.text
            for sequence, (name, picture) in enumerate(pictures.items()):
                match = receiver.run_once(pack(maker.frame(picture, sequence)))
                assert match is not None
                assert match.source == name
            with ResultsLog(tmp_path) as log:
                summary = summarize(receiver, log, num_entries=12)
        assert summary.features_index == "ivf: 1 lists, 1 of them searched, CPU, fp32"

    def test_who_searches_no_features_is_refused_by_name(self, built_kb: Path, tmp_path: Path) -> None:
        only_nested = make_model_set(tmp_path, rates=(), nested=True)
        words = "ivf is for codecs that search features, and adapted, index, nested, nested-cells search signals"
        with (
            KnowledgeBase.open(built_kb, search_index=SearchIndex.IVF) as knowledge_base,
            pytest.raises(ConfigError, match=words),
        ):
            Decoders.of(only_nested, knowledge_base)

    def test_labels_are_searched_among_signals(self, built_kb: Path, model_set: ModelSet) -> None:
        with (
            KnowledgeBase.open(built_kb, search_index=SearchIndex.IVF) as knowledge_base,
            pytest.raises(ConfigError, match="and adapted, index, synthetic-codec search signals; --search-index"),
        ):
            Decoders.of(model_set, knowledge_base)

    @pytest.mark.parametrize("answer", ["label", "nearest"])
    def test_exact_search_says_nothing(
        self, model_set: ModelSet, knowledge_base: KnowledgeBase, answer: Answer, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            Decoders.of(model_set, knowledge_base, DecoderOptions(answer=answer))
        assert "search index" not in caplog.text
