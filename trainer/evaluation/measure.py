"""Measure codecs over a grid, cell by cell."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
from rich.progress import Progress

from engines.models.codebook import Codebook
from engines.models.codecs import PerRateCodec
from engines.models.model_set import ModelSet
from engines.models.projection_head import ProjectionHead
from semlink.channel import MAX_SNR_DB, ChannelModel
from semlink.errors import ConfigError
from semlink.rates import Rate
from trainer.codecs.config import TrainedCodec
from trainer.evaluation.grid import Grid
from trainer.evaluation.journal import Journal
from trainer.evaluation.record import Record
from trainer.links.feedback_link import FeedbackLink
from trainer.links.graph_link import CodecGraphs, LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores
from trainer.links.signal_link import SignalLink
from trainer.links.vq_link import StagedQuantizer, VqLink
from trainer.threads import one_thread

__all__ = ["Link", "Measurement"]

_TAKES_ITS_MODEL_FROM = {"index-labels": "nested-labels", "nested-feedback": "nested"}
"""Codec of a model set that another one is made of."""

Task: TypeAlias = Callable[[threading.Event], list[Record]]
"""Measures one link's cells, until it is stopped."""


class Link(Protocol):
    """A codec at one rate, from clean features to what the receiver retrieves."""

    @property
    def name(self) -> str:
        """The codec's."""
        ...

    @property
    def rate(self) -> Rate:
        """Symbols of an image."""
        ...

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image over the air, retrieve, and score."""
        ...


@dataclass(frozen=True)
class Measurement:
    """One evaluation: what of, against what, and where what is known of it is kept, if it is."""

    grid: Grid
    noiseless: NoiselessRetrieval
    progress: Progress
    journal: Journal | None = None
    num_jobs: int = 1
    """Links that are measured at a time. More than one for links without torch, whose threads know no limit."""

    def trained(self, trained: Sequence[TrainedCodec]) -> list[Record]:
        """Trained codecs of the `kbsc` family, each on the channels that its training serves."""
        suits = self.grid.training_channel
        return self._side_by_side(
            "evaluating trained codecs",
            [
                self._task(
                    codec.training.codec,
                    partial(_trained_graphs, codec),
                    (codec.rate, codec.training.seed),
                    trained_on=f"{codec.source}, {codec.training.channel}",
                    channels=[channel for channel in self.grid.channels if suits(channel) == codec.training.channel],
                )
                for codec in trained
            ],
        )

    def nested(
        self,
        name: str,
        codebooks: Mapping[int, Codebook],
        *,
        projection: Mapping[int, ProjectionHead] | None = None,
        trained_on: str,
    ) -> list[Record]:
        """A nested code, a codebook for each seed, on every channel; none of them is what it was fitted to.

        `nested`, or with `keys`, a key network for each seed, `nested-labels` and `label`.
        """
        return self.links(
            name,
            lambda rate, seed: SignalLink.nested(
                name, codebooks[seed], rate, self.noiseless, projection=projection[seed] if projection else None
            ),
            trained_on=trained_on,
        )

    def nested_feedback(self, codebooks: Mapping[int, Codebook], *, trained_on: str) -> list[Record]:
        """`nested-feedback`: the same code by a transmitter that hears the receiver's reports."""
        name = "nested-feedback"
        return self.links(
            name,
            lambda rate, seed: FeedbackLink.of(name, codebooks[seed], rate, self.noiseless),
            trained_on=trained_on,
        )

    def index(
        self, *, projection: Mapping[int, ProjectionHead] | None = None, trained_on: str = "nothing"
    ) -> list[Record]:
        """`index`, which learns nothing; a seed draws codewords and noise. With `keys`, `index-labels`."""
        return self.links(
            "index-labels" if projection else "index",
            lambda rate, seed: SignalLink.index(
                rate, self.noiseless, seed=seed, projection=projection[seed] if projection else None
            ),
            trained_on=trained_on,
        )

    def uncoded(self) -> list[Record]:
        """`uncoded`, which has nothing to learn: the features as they are."""
        return self.links(
            "uncoded",
            lambda rate, _: CodecGraphs.uncoded(rate, self.noiseless.features.shape[1]),
            trained_on="nothing",
        )

    def quantizers(self, quantizers: Mapping[int, StagedQuantizer], *, name: str, trained_on: str) -> list[Record]:
        """`vq`, `vq-residual` or `vq-product`."""
        return self.links(
            name,
            lambda rate, seed: VqLink.of(name, quantizers[seed], rate, seed=seed),
            trained_on=trained_on,
        )

    def model_set(self, model_set: ModelSet) -> list[Record]:
        """A model set's own codecs; the seeds are those of noise and gains alone."""
        records: list[Record] = []
        held = [codec.name for codec in model_set.codecs]
        for name in self.grid.codecs:
            needed = _TAKES_ITS_MODEL_FROM.get(name, name)
            if needed not in held:
                raise ConfigError(
                    f'model set "{model_set.name}" holds {", ".join(held) or "no codec"}, not {needed};'
                    " use --weights trained to train it"
                )
            codec = model_set.codec(needed)
            source = codec.entry.training_data
            if isinstance(codec, PerRateCodec):
                records += self.links(name, partial(_set_graphs, codec), trained_on=source)
                continue
            model = codec.load_keys()
            projection = None if model is None else dict.fromkeys(self.grid.seeds, model)
            if name == "index-labels":
                records += self.index(projection=projection, trained_on=source)
                continue
            codebooks = dict.fromkeys(self.grid.seeds, codec.codebook)
            if name == "nested-feedback":
                records += self.nested_feedback(codebooks, trained_on=source)
            else:
                records += self.nested(name, codebooks, projection=projection, trained_on=source)
        return records

    def links(
        self,
        name: str,
        link_of: Callable[[Rate, int], Link],
        *,
        trained_on: str | Callable[[Rate, LinkConditions], str],
    ) -> list[Record]:
        """Measure one codec over the grid.

        Parameters
        ----------
        link_of : the link of a rate and a seed
        trained_on : what it was made from, where that differs from cell to cell by rate and air
        """
        return self._side_by_side(
            f"evaluating {name}",
            [
                self._task(name, link_of, (rate, seed), trained_on=trained_on, channels=self.grid.channels)
                for rate in self.grid.rates
                for seed in self.grid.seeds
            ],
        )

    def _task(
        self,
        name: str,
        link_of: Callable[[Rate, int], Link],
        rate_and_seed: tuple[Rate, int],
        *,
        trained_on: str | Callable[[Rate, LinkConditions], str],
        channels: Sequence[ChannelModel],
    ) -> Task:
        """What measures one link; it is made when its turn comes, and only if the journal lacks any of its cells."""
        rate, seed = rate_and_seed

        def measure(is_stopped: threading.Event) -> list[Record]:
            link: Link | None = None
            records: list[Record] = []
            for channel, snr_db in itertools.product(channels, self.grid.snr_db):
                if is_stopped.is_set():
                    break
                cell = (name, rate.num_symbols, channel.value, snr_db, seed)
                record = self.journal.find(cell) if self.journal else None
                if record is None:
                    link = link or link_of(rate, seed)
                    record = self._measure(link, channel, snr_db, seed=seed, trained_on=trained_on)
                    if self.journal:
                        self.journal.add(record)
                records.append(record)
            return records

        return measure

    def _side_by_side(self, description: str, tasks: Sequence[Task]) -> list[Record]:
        """Measure links, `num_jobs` at a time, each with one core, so that figures are the same on any number."""
        if not tasks:
            return []
        progress_task = self.progress.add_task(description, total=len(tasks))
        records: list[Record] = []
        is_stopped = threading.Event()
        if self.num_jobs == 1:
            with one_thread():
                for task in tasks:  # here, and not in a thread, so that an interruption is heard at once
                    records += task(is_stopped)
                    self.progress.advance(progress_task)
            return records

        def run(task: Task) -> list[Record]:
            try:
                return task(is_stopped)
            except Exception:
                is_stopped.set()  # a full disk is one for all
                raise

        pool = ThreadPoolExecutor(self.num_jobs)
        with one_thread():
            try:
                for part in pool.map(run, tasks):
                    records += part
                    self.progress.advance(progress_task)
            finally:
                # Of what is under way, the cell is finished and kept; the rest is left for the next start.
                is_stopped.set()
                pool.shutdown(cancel_futures=True)
        return records

    def _measure(
        self,
        link: Link,
        channel: ChannelModel,
        snr_db: float,
        *,
        seed: int,
        trained_on: str | Callable[[Rate, LinkConditions], str],
    ) -> Record:
        conditions = self.grid.conditions(link.name, channel, snr_db)
        # By value, so that a cell's noise does not depend on which other cells were asked for.
        rng = np.random.default_rng([seed, link.rate.num_symbols, round(1000 * (snr_db + MAX_SNR_DB))])
        scores = link.retrieve(self.noiseless, conditions, rng)
        return Record(
            codec=link.name,
            num_symbols=link.rate.num_symbols,
            snr_db=snr_db,
            channel=channel.value,
            seed=seed,
            semantic_accuracy=scores.semantic_accuracy,
            recall_at_1=scores.recall_at_1,
            recall_at_10=scores.recall_at_10,
            mean_cosine=scores.mean_cosine,
            match_cosine=scores.match_cosine,
            trained_on=trained_on if isinstance(trained_on, str) else trained_on(link.rate, conditions),
            csi=conditions.csi.value,
            num_pilots=conditions.num_pilots,
        )


def _trained_graphs(codec: TrainedCodec, rate: Rate, seed: int) -> CodecGraphs:
    """A training run has one rate and one seed."""
    return CodecGraphs.from_training(codec)


def _set_graphs(codec: PerRateCodec, rate: Rate, seed: int) -> CodecGraphs:
    """A model set is the same for every seed."""
    return CodecGraphs.of(codec, rate)
