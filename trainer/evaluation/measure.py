"""Measure links over a grid, cell by cell."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from rich.progress import Progress

from semlink.channel import MAX_SNR_DB, AnyChannel
from semlink.rates import Rate
from trainer.codecs.spec import CodecSpec, FitKey, FittedModel
from trainer.evaluation.checks import model_owner
from trainer.evaluation.grid import Grid
from trainer.evaluation.journal import Journal
from trainer.evaluation.record import Record
from trainer.links.base import Link, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval
from trainer.threads import one_thread

__all__ = ["Measurement", "measure_cell"]


@dataclass(frozen=True)
class _LinkTask:
    """One link, made when its turn comes, and the cells of the grid in which it is measured."""

    rate: Rate
    seeds: Sequence[int]
    channels: Sequence[AnyChannel]
    make: Callable[[], Link]
    trained_on: str


@dataclass(frozen=True)
class Measurement:
    """One evaluation: its grid, its images, and the journal of what is measured already, if it is kept.

    Attributes
    ----------
    num_jobs : links measured at the same time, in threads
    """

    grid: Grid
    noiseless: NoiselessRetrieval
    progress: Progress
    journal: Journal | None = None
    num_jobs: int = 1

    def codec(self, codec: CodecSpec, models: Mapping[FitKey, FittedModel], make: MakeLink) -> list[Record]:
        """Measure one codec over the grid.

        Parameters
        ----------
        models : a model for every key of the codec that owns the models
        make : makes the codec's links
        """
        owner, tasks = model_owner(codec), []
        for rate, seeds in itertools.product(self.grid.rates, self._seeds_by_link(codec)):
            for training_channel, channels in self._channels_by_model(owner).items():
                fitted = models[owner.fit_key(rate, seeds[0], training_channel)]
                make_link = partial(make, fitted.model, rate, seeds[0])
                tasks.append(_LinkTask(rate, seeds, channels, make_link, fitted.trained_on))
        return self._measure(codec, tasks)

    def links(self, codec: CodecSpec, link_of: Callable[[Rate, int], Link], *, trained_on: str) -> list[Record]:
        """Measure given links, one for each rate and seed, in place of the codec's own."""
        tasks = [
            _LinkTask(rate, (seed,), self.grid.channels, partial(link_of, rate, seed), trained_on)
            for rate, seed in itertools.product(self.grid.rates, self.grid.seeds)
        ]
        return self._measure(codec, tasks)

    def _seeds_by_link(self, codec: CodecSpec) -> list[tuple[int, ...]]:
        return [(seed,) for seed in self.grid.seeds] if codec.is_seeded else [self.grid.seeds]

    def _channels_by_model(self, owner: CodecSpec) -> Mapping[str, Sequence[AnyChannel]]:
        """Channels of the grid by their channel of training; all in one if models do not differ by it."""
        groups: dict[str, list[AnyChannel]] = {}
        for channel in self.grid.channels:
            training_channel = self.grid.training_channel_of(channel) if "channel" in owner.fitted_for else ""
            groups.setdefault(training_channel, []).append(channel)
        return groups

    def _measure(self, codec: CodecSpec, tasks: Sequence[_LinkTask]) -> list[Record]:
        """Measure links side by side, each on one core, so that results do not depend on the number of jobs."""
        num_cells = sum(len(task.seeds) * len(task.channels) for task in tasks) * len(self.grid.snr_db)
        advance = partial(self.progress.advance, self.progress.add_task(f"evaluating {codec.name}", total=num_cells))
        records: list[Record] = []
        is_stopped = threading.Event()
        if self.num_jobs == 1 or codec.runs_alone:
            with one_thread():
                for task in tasks:  # in the main thread, which an interrupt stops at once
                    records += self._run(codec, task, is_stopped, advance)
            return records

        def run(task: _LinkTask) -> list[Record]:
            try:
                return self._run(codec, task, is_stopped, advance)
            except Exception:
                is_stopped.set()  # an error, such as a full disk, is the same for all
                raise

        pool = ThreadPoolExecutor(self.num_jobs)
        with one_thread():
            try:
                for part in pool.map(run, tasks):
                    records += part
            finally:
                # Cells under way are finished and kept; the others are left to the next start.
                is_stopped.set()
                pool.shutdown(cancel_futures=True)
        return records

    def _run(
        self, codec: CodecSpec, task: _LinkTask, is_stopped: threading.Event, advance: Callable[[float], None]
    ) -> list[Record]:
        link: Link | None = None
        records: list[Record] = []
        for seed, channel, snr_db in itertools.product(task.seeds, task.channels, self.grid.snr_db):
            if is_stopped.is_set():
                break
            cell = (codec.name, task.rate.num_symbols, channel.value, snr_db, seed)
            record = self.journal.find(cell) if self.journal else None
            if record is None:
                link = link or task.make()
                conditions = self.grid.conditions(codec, channel, snr_db)
                record = measure_cell(
                    link, self.noiseless, conditions, codec=codec.name, seed=seed, trained_on=task.trained_on
                )
                if self.journal:
                    self.journal.add(record)
            records.append(record)
            advance(1)
        return records


def measure_cell(
    link: Link, noiseless: NoiselessRetrieval, conditions: LinkConditions, *, codec: str, seed: int, trained_on: str
) -> Record:
    """Send every image once and record the scores.

    The generator depends on seed, rate and SNR only, so that the noise of a cell does not depend on other cells.
    """
    rng = np.random.default_rng([seed, link.rate.num_symbols, round(1000 * (conditions.snr_db + MAX_SNR_DB))])
    scores = link.retrieve(noiseless, conditions, rng)
    mode = link.mode(conditions)
    return Record(
        codec=codec,
        num_symbols=link.rate.num_symbols,
        snr_db=conditions.snr_db,
        channel=conditions.channel.value,
        seed=seed,
        **asdict(scores),
        trained_on=f"{mode}, chosen on {trained_on}" if mode else trained_on,
        csi=conditions.csi.value,
        num_pilots=conditions.num_pilots,
    )
