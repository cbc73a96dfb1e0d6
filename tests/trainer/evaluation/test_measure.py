"""Measuring links cell by cell: every cell once, the same numbers each time, and nothing lost by an interrupt."""

from __future__ import annotations

import signal
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from rich.console import Console
from rich.progress import Progress

from engines.models.codecs import NestedCodec
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel
from semlink.rates import parse_rate
from tests.support.evaluation import SYNTHETIC, make_grid, models_of, no_model
from tests.support.model_sets import make_model_set
from tests.support.retrieval import clustered_retrieval
from trainer.codecs.nested import NestedModel
from trainer.codecs.spec import FittedModel
from trainer.codecs.table import find_codec
from trainer.datasets.base import ImageList
from trainer.evaluation import measure
from trainer.evaluation.checks import model_owner
from trainer.evaluation.grid import Grid
from trainer.evaluation.journal import Journal
from trainer.evaluation.measure import Measurement, measure_cell
from trainer.evaluation.record import Record
from trainer.links.base import LinkInputs
from trainer.links.retrieval import NoiselessRetrieval

NO_PICTURES = ImageList.of_arrays([], [], [])
INDEX = find_codec("index")


@pytest.fixture(scope="module")
def noiseless() -> NoiselessRetrieval:
    return clustered_retrieval()


def make_measurement(
    grid: Grid, noiseless: NoiselessRetrieval, folder: Path, *, num_jobs: int = 1, key: object = None
) -> Measurement:
    """With a journal of its own unless another measurement has the key."""
    journal = Journal(folder, key or uuid.uuid4())
    return Measurement(grid, noiseless, Progress(console=Console(quiet=True), disable=True), journal, num_jobs)


def measured_index(measurement: Measurement) -> list[Record]:
    links = INDEX.load_links()(LinkInputs(measurement.noiseless, NO_PICTURES, None))
    return measurement.codec(INDEX, no_model(INDEX), links)


def measured_set(measurement: Measurement, model_set: ModelSet) -> list[Record]:
    links = SYNTHETIC.load_links()(LinkInputs(measurement.noiseless, NO_PICTURES, None))
    return measurement.codec(SYNTHETIC, models_of(SYNTHETIC, model_set, measurement.grid), links)


def test_every_cell_is_measured_once(model_set: ModelSet, noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    grid = make_grid(rates=(parse_rate("16"), parse_rate("64")), channels=(ChannelModel.AWGN, ChannelModel.RAYLEIGH))
    records = measured_set(make_measurement(grid, noiseless, tmp_path), model_set)
    assert len(records) == 2 * 2 * 2 * 2
    assert {(r.num_symbols, r.channel, r.snr_db, r.seed) for r in records} == {
        (n, c, s, seed) for n in (16, 64) for c in ("awgn", "rayleigh") for s in (-10.0, 20.0) for seed in (0, 1)
    }
    low_snr, high_snr = (
        np.mean([r.semantic_accuracy for r in records if r.snr_db == snr_db]) for snr_db in (-10.0, 20.0)
    )
    assert high_snr > low_snr + 0.2
    assert all(r.csi == ("pilots" if r.channel == "rayleigh" else "none") for r in records)
    assert all(r.num_pilots == (8 if r.channel == "rayleigh" else 0) for r in records)


def test_codecs_of_a_model_set_are_measured(noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    models = make_model_set(tmp_path / "set", rates=(16,), nested=True, categories=tuple("0123456789"))
    names = ("nested", "nested-feedback", "nested-labels", "index-labels")
    grid = make_grid(*names, seeds=(0,))
    measurement = make_measurement(grid, noiseless, tmp_path)
    inputs = LinkInputs(noiseless, NO_PICTURES, None)
    records: list[Record] = []
    for codec in grid.codecs:
        owner = model_owner(codec)
        held = models.codec(owner.name)
        assert isinstance(held, NestedCodec)
        keys = owner.fit_keys(grid.rates, grid.seeds, grid.training_channels)
        fitted = dict.fromkeys(keys, FittedModel(NestedModel.of(held), trained_on="random numbers", key=""))
        records += measurement.codec(codec, fitted, codec.load_links()(inputs))
    assert [(r.codec, r.snr_db) for r in records] == [(c, s) for c in names for s in (-10.0, 20.0)]
    high_snr = {r.codec: r for r in records if r.snr_db == 20.0}
    # Entries of a class are almost the same here, and the minimum-risk match is the one in their middle.
    assert high_snr["nested"].recall_at_1 > 0.3
    assert high_snr["nested"].recall_at_10 > 0.7
    assert min(r.semantic_accuracy for r in high_snr.values()) > 0.3
    # The posterior mean is nearer than the match, at 20 dB and even more at -10 dB.
    assert all(r.match_cosine < r.mean_cosine <= 1.0 for r in records if r.codec == "nested")


def test_same_seed_same_numbers(model_set: ModelSet, noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    first, second = (
        measured_set(make_measurement(make_grid(), noiseless, tmp_path, num_jobs=num_jobs), model_set)
        for num_jobs in (1, 3)
    )
    assert first == second


def test_noise_of_a_cell_does_not_depend_on_its_neighbours(
    model_set: ModelSet, noiseless: NoiselessRetrieval, tmp_path: Path
) -> None:
    alone, among = (
        measured_set(make_measurement(make_grid(snr_db=snr_db), noiseless, tmp_path), model_set)
        for snr_db in ((0.0,), (-5.0, 0.0))
    )
    assert alone == [record for record in among if record.snr_db == 0.0]


def test_given_links_replace_those_of_the_codec(noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    grid = make_grid("index")
    own = measured_index(make_measurement(grid, noiseless, tmp_path))
    make = INDEX.load_links()(LinkInputs(noiseless, NO_PICTURES, None))
    given = make_measurement(grid, noiseless, tmp_path).links(
        INDEX, lambda rate, seed: make(None, rate, seed), trained_on="nothing"
    )
    assert given == own


def test_one_link_serves_all_seeds_that_draw_noise_only(noiseless: NoiselessRetrieval, tmp_path: Path) -> None:
    uncoded = find_codec("uncoded")
    grid = make_grid(uncoded, rates=(parse_rate("8"),), seeds=(0, 1, 2))
    make = uncoded.load_links()(LinkInputs(noiseless, NO_PICTURES, None))
    made: list[int] = []

    def counted(model: Any, rate: Any, seed: int) -> Any:
        made.append(seed)
        return make(model, rate, seed)

    records = make_measurement(grid, noiseless, tmp_path).codec(uncoded, no_model(uncoded), counted)
    assert made == [0]
    assert [(r.seed, r.snr_db) for r in records] == [(s, db) for s in (0, 1, 2) for db in (-10.0, 20.0)]
    assert len({r.mean_cosine for r in records}) == 6


def test_interrupt_stops_links_that_run_side_by_side(
    noiseless: NoiselessRetrieval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell under way is finished and kept, no other begins, and the rest is measured by the next start."""
    grid = make_grid("index", seeds=(0, 1, 2, 3))
    whole = measured_index(make_measurement(grid, noiseless, tmp_path / "whole"))
    measured: list[Record] = []
    is_interrupted = threading.Event()
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def measure_and_interrupt(*arguments: Any, **options: Any) -> Record:
        record = measure_cell(*arguments, **options)
        measured.append(record)
        if len(measured) == 2:
            signal.pthread_kill(main_thread, signal.SIGINT)
        is_interrupted.wait()
        return record

    def handle(*_: object) -> None:
        is_interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "measure_cell", measure_and_interrupt)
    before = signal.signal(signal.SIGINT, handle)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            measured_index(make_measurement(grid, noiseless, tmp_path, num_jobs=2, key="x"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert 2 <= len(measured) < len(whole)
    monkeypatch.setattr(measure, "measure_cell", measure_cell)
    resumed = make_measurement(grid, noiseless, tmp_path, key="x")
    assert resumed.journal is not None
    assert resumed.journal.num_records == len(measured)
    assert measured_index(resumed) == whole
