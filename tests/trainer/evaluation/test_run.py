"""The grid: its cells, its records, its report, and the library path that they share with the link."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from matplotlib.figure import Figure

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from rich.console import Console
from rich.progress import Progress

from edge_rx.decoders.ranking import RankedEntries
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel
from semlink.errors import ConfigError, ResultsError
from semlink.rates import parse_rate
from tests.support.model_sets import make_codebook, make_model_set
from trainer.codecs.config import CodecTraining
from trainer.codecs.training_data import TrainingFeatures
from trainer.evaluation.bounds import message_error_rate
from trainer.evaluation.command import evaluate
from trainer.evaluation.grid import Grid, train_all, trainings_of
from trainer.evaluation.journal import Journal
from trainer.evaluation.measure import Measurement
from trainer.evaluation.plot import plot_report
from trainer.evaluation.record import Record
from trainer.evaluation.report import EvaluationReport, summarize, summary_table
from trainer.links.feedback_link import FeedbackLink
from trainer.links.graph_link import CodecGraphs, Csi, LinkConditions, transmit_features
from trainer.links.retrieval import (
    NoiselessRetrieval,
    confidence_interval,
    proportion_interval,
    score_ranked,
    score_retrieval,
)
from trainer.links.signal_link import SignalLink, SymbolSearch


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def noiseless() -> NoiselessRetrieval:
    """Ten clusters in the synthetic model set's 16 dimensions, retrieved almost without error."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((10, 16))
    labels = rng.integers(0, 10, 600)
    features = unit(centres[labels] + 0.3 * rng.standard_normal((600, 16)))
    names = labels.astype(str)
    return NoiselessRetrieval.of(features[:300], names[:300], features[300:], names[300:])


def grid(**changes: object) -> Grid:
    values = {
        "codecs": ("synthetic-codec",),
        "rates": (parse_rate("16"),),
        "channels": (ChannelModel.AWGN,),
        "snr_db": (-10.0, 20.0),
        "seeds": (0, 1),
    }
    return Grid(**{**values, **changes})


def measurement(cells: Grid, noiseless: NoiselessRetrieval, folder: Path) -> Measurement:
    """With a journal of its own, in which nothing is known yet."""
    journal = Journal(folder, cells, uuid.uuid4())
    return Measurement(cells, noiseless, Progress(disable=True), journal)


def test_model_set_is_measured_in_every_cell(
    model_set: ModelSet, noiseless: NoiselessRetrieval, tmp_path: Path
) -> None:
    cells = grid(rates=(parse_rate("16"), parse_rate("64")), channels=(ChannelModel.AWGN, ChannelModel.RAYLEIGH))
    records = measurement(cells, noiseless, tmp_path).model_set(model_set)
    assert len(records) == 2 * 2 * 2 * 2
    assert {(r.num_symbols, r.channel, r.snr_db, r.seed) for r in records} == {
        (n, c, s, seed) for n in (16, 64) for c in ("awgn", "rayleigh") for s in (-10.0, 20.0) for seed in (0, 1)
    }
    noisy = np.mean([r.semantic_accuracy for r in records if r.snr_db == -10.0])
    quiet = np.mean([r.semantic_accuracy for r in records if r.snr_db == 20.0])
    assert quiet > noisy + 0.2
    assert all(r.csi == ("pilots" if r.channel == "rayleigh" else "none") for r in records)
    assert all(r.num_pilots == (8 if r.channel == "rayleigh" else 0) for r in records)


def test_every_codec_of_a_model_set_is_measured(noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    models = make_model_set(tmp_path / "set", rates=(16,), nested=True, categories=tuple("0123456789"))
    cells = grid(codecs=("synthetic-codec", "nested", "nested-feedback", "nested-labels", "index-labels"), seeds=(0,))
    records = measurement(cells, noiseless, tmp_path).model_set(models)
    assert [(r.codec, r.snr_db) for r in records] == [(c, s) for c in cells.codecs for s in (-10.0, 20.0)]
    quiet = {r.codec: r for r in records if r.snr_db == 20.0}
    # Entries of a class are all but the same here, and the answer is the one in their midst.
    assert quiet["nested"].recall_at_1 > 0.3
    assert quiet["nested"].recall_at_10 > 0.7
    assert min(r.semantic_accuracy for r in quiet.values()) > 0.3
    # What was probably meant is nearer than what is answered with, at 20 dB and all the more at -10 dB.
    assert all(r.match_cosine < r.mean_cosine <= 1.0 for r in records if r.codec == "nested")


def test_without_noise_the_link_gives_the_ideal(model_set: ModelSet, noiseless: NoiselessRetrieval) -> None:
    codec = CodecGraphs.of(model_set.codec(), parse_rate("64"))
    conditions = LinkConditions(ChannelModel.IDEAL, 0.0, Csi.NOTHING)
    scores = score_retrieval(
        transmit_features(noiseless.features, codec, conditions, np.random.default_rng(0)), noiseless
    )
    # What is left is the quantization of two hops at an EVM of -31 dB.
    assert scores.mean_cosine > 0.998
    assert scores.recall_at_10 > 0.99
    assert scores.semantic_accuracy == pytest.approx(noiseless.noiseless_accuracy, abs=0.02)


def test_same_seed_same_numbers(model_set: ModelSet, noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    first, second = (measurement(grid(), noiseless, tmp_path).model_set(model_set) for _ in range(2))
    assert first == second


def test_batch_of_one_meets_the_same_link(model_set: ModelSet, noiseless: NoiselessRetrieval) -> None:
    codec = CodecGraphs.of(model_set.codec(), parse_rate("64"))
    conditions = LinkConditions(ChannelModel.IDEAL, 0.0, Csi.NOTHING)
    whole = transmit_features(noiseless.features[:5], codec, conditions, np.random.default_rng(0))
    single = [
        transmit_features(row[None], codec, conditions, np.random.default_rng(0))[0] for row in noiseless.features[:5]
    ]
    # A value on the border between two codes may fall either way in another order of sums.
    np.testing.assert_allclose(np.stack(single), whole, atol=0.02)


def test_genie_bounds_the_receiver_that_has_pilots(model_set: ModelSet, noiseless: NoiselessRetrieval) -> None:
    codec = CodecGraphs.of(model_set.codec(), parse_rate("64"))
    cosine = {}
    for csi, pilots in (
        (Csi.GENIE, 0),
        (Csi.PILOTS, 8),
        (Csi.NOTHING, 0),
    ):
        conditions = LinkConditions(ChannelModel.RAYLEIGH, 5.0, csi, pilots)
        queries = transmit_features(noiseless.features, codec, conditions, np.random.default_rng(0))
        cosine[csi] = score_retrieval(queries, noiseless).mean_cosine
    assert cosine[Csi.GENIE] >= cosine[Csi.PILOTS] > cosine[Csi.NOTHING] + 0.3


def test_pilots_are_needed_where_pilots_are_promised(model_set: ModelSet, noiseless: NoiselessRetrieval) -> None:
    codec = CodecGraphs.of(model_set.codec(), parse_rate("16"))
    conditions = LinkConditions(ChannelModel.RAYLEIGH, 5.0, Csi.PILOTS, 0)
    with pytest.raises(ConfigError, match="at least 1 pilot"):
        transmit_features(noiseless.features, codec, conditions, np.random.default_rng(0))


def test_codec_that_the_set_does_not_hold_is_named(
    model_set: ModelSet, noiseless: NoiselessRetrieval, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="holds synthetic-codec, not kbsc-reference; use --weights trained"):
        measurement(grid(codecs=("kbsc-reference",)), noiseless, tmp_path).model_set(model_set)


def test_grid_trains_in_processes_and_measures(noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = TrainingFeatures(unit(rng.standard_normal((1500, 16))), rng.integers(0, 10, 1500), "noise", "key")
    cells = grid(codecs=("kbsc", "kbsc-reference"), channels=(ChannelModel.AWGN, ChannelModel.RAYLEIGH), seeds=(0,))
    template = CodecTraining(codec="kbsc", num_symbols=16, epochs=1, precision="fp32")
    trainings = trainings_of(cells, template)
    assert [(t.codec, t.channel, t.num_pilots) for t in trainings] == [
        ("kbsc", "awgn", 0),
        ("kbsc-reference", "awgn", 0),
        ("kbsc", "rayleigh", 8),
        ("kbsc-reference", "rayleigh", 0),
    ]
    trained = train_all(trainings, data, tmp_path, num_jobs=2, progress=Progress(disable=True))
    serial = train_all(trainings[:1], data, tmp_path / "serial", num_jobs=1, progress=Progress(disable=True))
    assert trained[0].encoder_path.read_bytes() == serial[0].encoder_path.read_bytes()
    records = measurement(cells, noiseless, tmp_path).trained(trained)
    assert len(records) == 2 * 2 * 2
    assert {r.csi for r in records if r.codec == "kbsc-reference"} == {"published"}
    assert {r.csi for r in records if r.codec == "kbsc"} == {"none", "pilots"}


@pytest.mark.parametrize(
    ("snr_db", "error_db", "num_blind"), [(20.0, 0.0, 64), (20.0, -30.0, 300), (-10.0, 0.0, 300), (-10.0, 30.0, 64)]
)
def test_transmitter_follows_what_is_reported_and_not_what_is(
    snr_db: float, error_db: float, num_blind: int, noiseless: NoiselessRetrieval
) -> None:
    """Until the first report it is blind; after a wrong one the receiver still knows which code it hears."""
    codebook = make_codebook(16, np.random.default_rng(0), sends_codeword=True)
    link = FeedbackLink.of("nested-feedback", codebook, parse_rate("64"), noiseless, report_error_db=error_db)
    sent, observation = {"blind": 0, "clear": 0}, {"blind": 0, "clear": 0}

    @dataclass
    class CountedSearch:
        name: str
        search: SymbolSearch

        def ranked(self, symbols: np.ndarray, noise_variance: np.ndarray) -> list[RankedEntries]:
            observation[self.name] += len(symbols)
            return self.search.ranked(symbols, noise_variance)

    def counted(name: str, link: SignalLink) -> SignalLink:
        def transmit(features: np.ndarray) -> np.ndarray:
            sent[name] += len(features)
            return link.transmit(features)

        return replace(link, transmit=transmit, search=CountedSearch(name, link.search))

    counting = replace(link, blind=counted("blind", link.blind), clear=counted("clear", link.clear))
    conditions = LinkConditions(ChannelModel.AWGN, snr_db, Csi.NOTHING)
    scores = counting.retrieve(noiseless, conditions, np.random.default_rng(0))
    assert sent == observation == {"blind": num_blind, "clear": 300 - num_blind}
    if snr_db > 0.0:
        assert scores.semantic_accuracy > 0.3


def test_index_sends_the_entry_itself(noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    cells = grid(
        codecs=("index",),
        rates=(parse_rate("16"), parse_rate("64")),
        channels=(ChannelModel.AWGN, ChannelModel.RAYLEIGH),
    )
    records = measurement(cells, noiseless, tmp_path).index()
    assert len(records) == 2 * 2 * 2 * 2
    quiet = [r for r in records if r.snr_db == 20.0 and r.channel == "awgn"]
    assert all(r.recall_at_1 > 0.9 for r in quiet)  # but for the keys' rounding
    assert all(r.semantic_accuracy == pytest.approx(noiseless.noiseless_accuracy, abs=0.02) for r in quiet)
    assert all(r.mean_cosine == pytest.approx(r.match_cosine, abs=1e-3) for r in quiet)  # one entry, for certain
    assert measurement(cells, noiseless, tmp_path).index() == records


def test_bound_on_messages_is_between_what_is_known_of_it() -> None:
    rate = parse_rate("64")
    errors = [message_error_rate(5000, rate, snr_db) for snr_db in (-15.0, -7.0, -4.0, 0.0)]
    assert errors[0] > 0.95
    assert errors[1] == pytest.approx(0.104, abs=0.002)
    assert errors[3] < 1e-6
    assert errors == sorted(errors, reverse=True)
    assert message_error_rate(100, rate, -7.0) < errors[1]


def test_interrupted_evaluation_goes_on_with_identical_results(
    evaluated: Callable[..., EvaluationReport],
    model_set: ModelSet,
    pictures_to_learn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    cells = grid(codecs=("nested", "index"), seeds=(0, 1))
    whole = evaluated(cells, pictures_to_learn, model_set)
    journals = tmp_path / "cache" / "evaluations"
    assert list(journals.iterdir()) == [], "a finished evaluation leaves nothing that a next one would believe"
    measured: list[tuple[str, float, int]] = []
    measure = Measurement._measure

    def measure_some(self: Measurement, link: Any, channel: Any, snr_db: float, **rest: Any) -> Record:
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append((link.name, snr_db, rest["seed"]))
        return measure(self, link, channel, snr_db, **rest)

    monkeypatch.setattr(Measurement, "_measure", measure_some)
    with pytest.raises(KeyboardInterrupt):
        evaluated(cells, pictures_to_learn, model_set)
    (journal,) = journals.iterdir()
    with journal.open("ab") as file:
        file.write(b'{"codec":"nes')  # a kill in the midst of a line
    measured.clear()
    monkeypatch.setattr(Measurement, "_measure", measure)
    resumed = evaluated(cells, pictures_to_learn, model_set)
    assert resumed.records == whole.records
    assert list(journals.iterdir()) == []


def test_interruption_stops_links_side_by_side(
    noiseless: NoiselessRetrieval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell under way is finished and kept, no other begins, and the rest is measured by the next start."""
    cells = grid(codecs=("index",), seeds=(0, 1, 2, 3))
    whole = measurement(cells, noiseless, tmp_path / "whole").index()
    measure, measured, first_is_done = Measurement._measure, [], threading.Event()

    def measure_slowly(self: Measurement, link: Any, channel: Any, snr_db: float, **rest: Any) -> Record:
        if rest["seed"]:
            first_is_done.wait(30.0)
        measured.append(measure(self, link, channel, snr_db, **rest))
        return measured[-1]

    def interrupt(*_: object) -> None:
        first_is_done.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(Measurement, "_measure", measure_slowly)
    with_two = Measurement(cells, noiseless, Progress(disable=True), Journal(tmp_path, "x"), num_jobs=2)
    monkeypatch.setattr(with_two.progress, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        with_two.index()
    assert 2 <= len(measured) < len(whole)
    monkeypatch.setattr(Measurement, "_measure", measure)
    journal = Journal(tmp_path, "x")
    assert journal.num_records == len(measured)
    assert Measurement(cells, noiseless, Progress(disable=True), journal).index() == whole


def test_changed_training_images_are_measured_anew(
    evaluated: Callable[..., EvaluationReport],
    model_set: ModelSet,
    pictures_to_learn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same command after an interruption, of a folder whose training images are others: nothing is believed."""
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    folder = Path(shutil.copytree(pictures_to_learn, tmp_path / "pictures"))
    cells = grid(codecs=("nested",), seeds=(0,))
    with pytest.raises(KeyboardInterrupt):
        evaluated(cells, folder, model_set, deliver=_interrupt)
    (journal,) = (tmp_path / "cache" / "evaluations").iterdir()
    assert len(journal.read_bytes().splitlines()) == 2
    next((folder / "train").rglob("*.png")).unlink()
    observation: list[str] = []
    monkeypatch.setattr(Console, "print", lambda self, *words, **rest: observation.append(str(words)))
    evaluated(cells, folder, model_set)
    assert not any("going on" in words for words in observation)


def test_report_that_cannot_be_delivered_costs_nothing_measured(
    evaluated: Callable[..., EvaluationReport],
    model_set: ModelSet,
    pictures_to_learn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    cells = grid(codecs=("index",), seeds=(0,))
    with pytest.raises(KeyboardInterrupt):
        evaluated(cells, pictures_to_learn, model_set, deliver=_interrupt)
    monkeypatch.setattr(Measurement, "_measure", lambda *_, **__: pytest.fail("measured again"))
    assert len(evaluated(cells, pictures_to_learn, model_set).records) == 2


def _interrupt(report: EvaluationReport) -> None:
    raise KeyboardInterrupt


def test_interruption_says_that_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.evaluation.run.run_evaluation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate()
    assert "the same command goes on from there" in capsys.readouterr().err


def test_damaged_journal_is_named(tmp_path: Path) -> None:
    Journal(tmp_path, "x").add(record(0, 0.5))
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"not json\n")
    with pytest.raises(ResultsError, match="damaged, remove it to measure anew"):
        Journal(tmp_path, "x")


def test_journal_on_a_full_disk_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "x")
    journal._path.symlink_to("/dev/full")
    with pytest.raises(ResultsError, match="cannot be kept"):
        journal.add(record(0, 0.5))


def test_signal_codecs_run_through_the_whole_evaluation(
    evaluated: Callable[..., EvaluationReport],
    model_set: ModelSet,
    pictures_to_learn: Path,
) -> None:
    """Every name that `--codec` takes, from a folder of pictures to a report."""
    cells = grid(
        codecs=("nested", "index", "nested-labels", "index-labels", "label", "vq-residual", "vq-product"),
        channels=(ChannelModel.AWGN, ChannelModel.RAYLEIGH),
        seeds=(0,),
    )
    report = evaluated(cells, pictures_to_learn, model_set)
    assert {record.codec for record in report.records} == {*cells.codecs}
    assert len(report.records) == 7 * 2 * 2
    quiet = {r.codec: r.semantic_accuracy for r in report.records if (r.channel, r.snr_db) == ("awgn", 20.0)}
    assert quiet["index"] == pytest.approx(report.noiseless_accuracy, abs=0.05)
    assert min(quiet.values()) > 0.45
    assert evaluated(cells, pictures_to_learn, model_set, num_jobs=3).records == report.records


def test_what_would_fail_after_training_is_refused_before() -> None:
    with pytest.raises(ConfigError, match="one pilot"):
        grid(codecs=("kbsc", "nested"), channels=(ChannelModel.RAYLEIGH,), num_pilots=1)
    grid(codecs=("kbsc",), channels=(ChannelModel.RAYLEIGH,), num_pilots=1)
    with pytest.raises(ConfigError, match="kbsc-reference"):
        grid(codecs=("kbsc-reference",), channels=(ChannelModel.RAYLEIGH_FAST,))
    with pytest.raises(ConfigError, match="dB"):
        grid(snr_db=(200.0,))


def test_noise_of_a_cell_does_not_depend_on_its_neighbours(
    model_set: ModelSet, noiseless: NoiselessRetrieval, tmp_path: Path
) -> None:
    alone, among = (
        measurement(grid(snr_db=snr_db), noiseless, tmp_path).model_set(model_set) for snr_db in ((0.0,), (-5.0, 0.0))
    )
    assert alone == [record for record in among if record.snr_db == 0.0]


def test_mean_cosine_is_of_what_was_probably_meant(noiseless: NoiselessRetrieval) -> None:
    features = noiseless.index.vectors(0, 2)
    two = replace(
        noiseless, features=noiseless.features[:1], labels=noiseless.labels[:1], entries=noiseless.entries[:1]
    )
    found = RankedEntries(np.array([1, 0]), np.array([0.75, 0.25], np.float32))
    meant = 0.25 * features[0] + 0.75 * features[1]
    scores = score_ranked([found], two)
    assert scores.mean_cosine == pytest.approx(meant @ two.features[0] / np.linalg.norm(meant), abs=1e-5)
    assert scores.match_cosine == pytest.approx(features[1] @ two.features[0], abs=1e-5)


def test_a_genie_reports_nothing() -> None:
    with pytest.raises(ConfigError, match="a genie does neither"):
        grid(codecs=("nested-feedback",), csi=Csi.GENIE)
    with pytest.raises(ConfigError, match="a genie does neither"):
        grid(codecs=("nested-feedback",), channels=(ChannelModel.RAYLEIGH_FAST,))


def test_recall_counts_instances(noiseless: NoiselessRetrieval) -> None:
    perfect = score_retrieval(noiseless.features, noiseless)
    assert (perfect.recall_at_1, perfect.recall_at_10) == (1.0, 1.0)
    assert perfect.mean_cosine == pytest.approx(1.0, abs=1e-5)
    blind = score_retrieval(unit(np.random.default_rng(3).standard_normal((300, 16))), noiseless)
    assert blind.recall_at_1 < 0.05
    assert blind.semantic_accuracy < 0.25


def test_intervals() -> None:
    interval = confidence_interval([0.5, 0.6, 0.7])
    # Student's t with two degrees of freedom: 4.303 standard errors.
    assert interval.high - interval.mean == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    wilson = proportion_interval(8, 10)
    assert (wilson.low, wilson.high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))


def record(seed: int, accuracy: float) -> Record:
    return Record("kbsc", 64, 0.0, "awgn", seed, accuracy, 0.1, 0.2, 0.5, 0.6, "x", "none", 0)


def report_of(*records: Record) -> EvaluationReport:
    return EvaluationReport.of(
        list(records),
        command="semlink evaluate",
        encoder="e",
        encoder_fingerprint="f",
        dataset="d",
        num_sent=10,
        num_kb_entries=10,
        weights="trained",
        noiseless_accuracy=0.6,
    )


def test_report_holds_what_readers_need(tmp_path: Path) -> None:
    report = report_of(record(0, 0.4), record(1, 0.5))
    loaded = msgspec.json.decode(msgspec.json.encode(report))
    assert {"noiseless_accuracy", "encoder", "dataset", "versions", "records"} <= loaded.keys()
    wanted = {"codec", "num_symbols", "snr_db", "channel", "seed", "semantic_accuracy", "recall_at_1", "mean_cosine"}
    assert wanted <= loaded["records"][0].keys()
    assert loaded["summary"][0]["semantic_accuracy"] == pytest.approx(0.45)
    assert summary_table(report).row_count == 1
    plot_report(report, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_drawn_of_a_wide_interval_stays_on_the_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds have 12.7 standard errors, here of an accuracy of -2.5 to 3.8."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: figures.append(figure))
    plot_report(report_of(record(0, 0.4), record(1, 0.9)), tmp_path / "plot.png")
    (bars,) = figures[0].axes[0].containers
    ((low, high),) = ([y for _, y in segment] for segment in bars.lines[2][0].get_segments())
    assert (low, high) == (0.0, 1.0)
    assert figures[0].axes[0].get_ylim()[1] >= 1.0


def test_one_seed_claims_no_interval() -> None:
    (cell,) = summarize([record(0, 0.4)])
    assert (cell.semantic_accuracy_low, cell.semantic_accuracy_high) == (None, None)
