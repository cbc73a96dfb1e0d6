"""Context of the studies: CIFAR-100 by its features, fits, and measurements of one grid at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cache import cache_folder
from semlink.channel import ChannelModel
from semlink.cli.output import stderr_console
from semlink.cli.progress import progress_bars
from semlink.machine import num_cores
from semlink.rates import Rate, parse_rate
from trainer.codecs.config import Objective, TrainingChannel
from trainer.codecs.fitting import FittingContext
from trainer.codecs.table import find_codec
from trainer.codecs.training_data import TrainingFeatures, training_features, training_images
from trainer.codecs.training_runs import fit_kbsc
from trainer.datasets import Dataset, open_dataset
from trainer.evaluation.grid import Grid
from trainer.evaluation.measure import Measurement
from trainer.evaluation.record import Record
from trainer.features import cached_features
from trainer.links.base import Link
from trainer.links.graph_link import GraphLink
from trainer.links.retrieval import NoiselessRetrieval

__all__ = ["SEEDS", "StudyContext"]

SEEDS = (0, 1, 2)
_NUM_CORES = num_cores()


@dataclass(frozen=True)
class StudyContext:
    """Datasets and features that several studies need, loaded at their first use."""

    progress: Progress

    @classmethod
    def standard(cls) -> StudyContext:
        """Make a context that reports its progress on stderr."""
        return cls(progress_bars(stderr_console()))

    @cached_property
    def encoder(self) -> ImageEncoder:
        """The built-in image encoder."""
        return ImageEncoder(ModelSet.find("builtin"), num_threads=_NUM_CORES)

    @cached_property
    def cifar100(self) -> Dataset:
        """Halves of the test set, and the training set."""
        return open_dataset("cifar100", progress=self.progress)

    @cached_property
    def training_data(self) -> TrainingFeatures:
        """CIFAR-100's training set."""
        return training_features(self.cifar100, self.encoder, self.progress)

    @property
    def runs(self) -> Path:
        """Folder of fits and training runs."""
        return cache_folder("runs")

    def noiseless(self, dataset: Dataset, *, kb_rows: np.ndarray | None = None) -> NoiselessRetrieval:
        """Retrieve a dataset without codec and channel.

        Parameters
        ----------
        kb_rows : images of the dataset's knowledge base that are entries; all if None
        """
        sent = cached_features(dataset.sent, self.encoder, progress=self.progress)
        kb = cached_features(dataset.knowledge_base, self.encoder, progress=self.progress)
        kb_labels = np.asarray(dataset.knowledge_base.labels)
        rows = np.arange(len(kb)) if kb_rows is None else kb_rows
        return NoiselessRetrieval.of(sent, np.asarray(dataset.sent.labels), kb[rows], kb_labels[rows])

    def measure(
        self,
        noiseless: NoiselessRetrieval,
        name: str,
        link_of: Callable[[Rate, int], Link],
        *,
        rates: Sequence[str] = ("64",),
        snr_db: Sequence[float] = (0.0,),
        channel: ChannelModel = ChannelModel.AWGN,
        seeds: Sequence[int] = SEEDS,
        num_jobs: int | None = None,
    ) -> list[Record]:
        """Measure one codec over rates, SNRs and seeds, without a journal."""
        grid = self.grid(name, rates, snr_db, channel, seeds)
        return Measurement(grid, noiseless, self.progress, num_jobs=num_jobs or _NUM_CORES).links(
            find_codec(name), link_of, trained_on="study"
        )

    def measure_kbsc(
        self,
        noiseless: NoiselessRetrieval,
        *,
        rates: Sequence[str] = ("64",),
        snr_db: Sequence[float] = (0.0,),
        channel: ChannelModel = ChannelModel.AWGN,
        training_channel: TrainingChannel | None = None,
        objective: Objective = "mse",
    ) -> list[Record]:
        """Measure the paper's network, a training run for each rate and seed; runs that exist are reused."""
        grid = replace(self.grid("kbsc", rates, snr_db, channel, SEEDS), training_channel=training_channel)
        context = FittingContext(
            data=self.training_data,
            images=training_images(self.cifar100),
            encoder=self.encoder,
            runs=self.runs,
            progress=self.progress,
            num_jobs=_NUM_CORES,
            objective=objective,
        )
        spec = find_codec("kbsc")
        models = fit_kbsc(spec.fit_keys(grid.rates, grid.seeds, grid.training_channels), context)
        measurement = Measurement(grid, noiseless, self.progress, num_jobs=_NUM_CORES)
        return measurement.codec(spec, models, lambda model, _rate, _seed: GraphLink.from_training(model))

    @staticmethod
    def grid(
        name: str, rates: Sequence[str], snr_db: Sequence[float], channel: ChannelModel, seeds: Sequence[int]
    ) -> Grid:
        """Grid of one codec on one channel."""
        return Grid((find_codec(name),), tuple(map(parse_rate, rates)), (channel,), tuple(snr_db), tuple(seeds))
