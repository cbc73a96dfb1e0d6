"""From an `EvaluationConfig` to a finished report: check, encode, fit, measure."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from engines.models.codecs import NestedCodec
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink import __version__
from semlink.cache import cache_folder
from semlink.cli.output import notify
from semlink.errors import ConfigError
from semlink.files import file_sha256
from trainer.codecs.fitting import FittingContext
from trainer.codecs.nested import NestedModel
from trainer.codecs.spec import FitKey, FittedModel
from trainer.codecs.training_data import training_features, training_images
from trainer.datasets import Dataset, open_dataset
from trainer.datasets.base import ImageList
from trainer.encoders.registry import load_encoder, open_encoder
from trainer.evaluation.checks import check_grid, check_model_set, check_packages, model_owner
from trainer.evaluation.config import EvaluationConfig, Weights
from trainer.evaluation.grid import Grid
from trainer.evaluation.journal import Journal
from trainer.evaluation.measure import Measurement
from trainer.evaluation.record import Record
from trainer.evaluation.report import EvaluationReport
from trainer.features import FeatureEncoder, cached_features
from trainer.links.base import LinkInputs
from trainer.links.retrieval import NoiselessRetrieval

__all__ = ["evaluate"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sources:
    """Datasets, model set and image encoder of an evaluation in which every cell of the grid can run.

    `encoder` is None for the model set's, which is loaded later.
    """

    dataset: Dataset
    weights: Weights
    training: Dataset | None
    model_set: ModelSet
    encoder: FeatureEncoder | None


def evaluate(
    config: EvaluationConfig,
    *,
    command: str = "trainer.evaluation.evaluate",
    progress: Progress | None = None,
    deliver: Callable[[EvaluationReport], None] | None = None,
) -> EvaluationReport:
    """Measure codecs over a grid, without sockets, through the graphs and functions of the link.

    An interrupted evaluation keeps its journal: the next call with the same settings continues it.

    Parameters
    ----------
    command : recorded in the report
    progress : display of progress, started and stopped here; None shows none
    deliver : stores the report; the journal is kept until it returns

    Raises
    ------
    ConfigError, DatasetError, MissingDependencyError
        If a cell of the grid cannot run; nothing is encoded or trained then.

    Examples
    --------
    >>> from trainer.evaluation import EvaluationConfig, evaluate
    >>> config = EvaluationConfig(data="digits", codecs=["nested", "index"], rates=[16, 64], snr_db=[0, 10])
    >>> report = evaluate(config)  # doctest: +SKIP
    >>> pandas.DataFrame(report.records_as_dicts())  # doctest: +SKIP
    """
    if progress is None:
        progress = Progress(console=Console(quiet=True), disable=True)
    with progress:
        grid = config.grid()
        sources = _checked_sources(config, grid, progress)
        encoder = sources.encoder or ImageEncoder(sources.model_set, num_threads=config.num_jobs)
        images = sources.dataset.sent.spread(config.limit)
        noiseless = _noiseless_retrieval(sources.dataset, images, encoder, progress)
        models = _models(config, grid, sources, encoder, progress)
        journal = Journal(
            cache_folder("evaluations"),
            *(grid, encoder.fingerprint, images.content_key, sources.dataset.knowledge_base.content_key),
            *((key, fitted.key) for key, fitted in models.items()),
            *(_code_version(codec.load_links()) for codec in grid.codecs),
            __version__,
        )
        if journal.num_records:
            message = f"continuing an interrupted evaluation: {journal.num_records} cells are measured"
            notify(progress.console, message)
        inputs = LinkInputs(noiseless, images, encoder)
        measurement = Measurement(grid, noiseless, progress, journal, config.num_jobs)
        records: list[Record] = []
        for codec in grid.codecs:
            records += measurement.codec(codec, models, codec.load_links()(inputs))
    report = EvaluationReport.of(
        records,
        command=command,
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        dataset=sources.dataset.name,
        num_sent=len(noiseless.features),
        num_kb_entries=len(noiseless.index),
        weights=sources.weights,
        noiseless_accuracy=noiseless.accuracy,
        num_categories=len(np.unique(noiseless.kb_labels)),
        settings=config.settings(),
    )
    if deliver is not None:
        deliver(report)
    journal.finish()
    return report


def _checked_sources(config: EvaluationConfig, grid: Grid, progress: Progress) -> _Sources:
    """Open model set and datasets, and refuse cells that cannot run as early as each of them allows."""
    model_set = ModelSet.find(config.model_set)
    encoder = _own_encoder(config, progress)
    feature_dim = model_set.feature_dim if encoder is None else encoder.feature_dim
    check_grid(grid, feature_dim=feature_dim)
    check_packages(grid, fits=config.weights == "trained")
    if config.weights == "model-set":
        check_model_set(grid, model_set)
    dataset = open_dataset(config.data, progress=progress)
    check_grid(grid, feature_dim=feature_dim, num_entries=len(dataset.knowledge_base))
    weights = config.weights
    if weights == "auto":
        weights = "trained" if dataset.name == "cifar100" or encoder is not None else "model-set"
        _log.info("weights auto: chose %s for %s", weights, dataset.name)
    if weights == "model-set":
        check_model_set(grid, model_set)
    training = None
    if weights == "trained" and any(model_owner(codec).fit for codec in grid.codecs):
        training = open_dataset(config.train_data or config.data, progress=progress)
        training_images(training)  # refuses a dataset without a training set
        check_packages(grid, fits=True)
    return _Sources(dataset, weights, training, model_set, encoder)


def _own_encoder(config: EvaluationConfig, progress: Progress) -> FeatureEncoder | None:
    """The encoder that the config names, ready to encode; None for the model set's."""
    source = config.encoder
    if source is None:
        return None
    if config.weights == "model-set":
        raise ConfigError("a model set's codecs are for its own encoder; use --weights trained with --encoder")
    if isinstance(source, str):
        source = load_encoder(source, num_threads=config.num_jobs, progress=progress)
    return open_encoder(source, num_threads=config.num_jobs)


def _noiseless_retrieval(
    dataset: Dataset, images: ImageList, encoder: FeatureEncoder, progress: Progress
) -> NoiselessRetrieval:
    kb = dataset.knowledge_base
    return NoiselessRetrieval.of(
        cached_features(images, encoder, progress=progress),
        np.asarray(images.labels),
        cached_features(kb, encoder, progress=progress),
        np.asarray(kb.labels),
    )


def _models(
    config: EvaluationConfig, grid: Grid, sources: _Sources, encoder: FeatureEncoder, progress: Progress
) -> Mapping[FitKey, FittedModel]:
    """A model for every key of every codec that owns one: fitted, of the model set, or none."""
    models: dict[FitKey, FittedModel] = {}
    fits: dict[Callable[..., Mapping[FitKey, FittedModel]], list[FitKey]] = {}
    for owner in dict.fromkeys(model_owner(codec) for codec in grid.codecs):
        keys = owner.fit_keys(grid.rates, grid.seeds, grid.training_channels)
        if owner.fit is None:
            models |= dict.fromkeys(keys, FittedModel(None, trained_on="nothing"))
        elif sources.training is None:
            models |= dict.fromkeys(keys, _model_of_set(sources.model_set, owner.name))
        else:
            fits.setdefault(owner.load_fit(), []).extend(keys)
    if sources.training is not None:
        context = FittingContext(
            data=training_features(sources.training, encoder, progress),
            images=training_images(sources.training),
            encoder=encoder,
            runs=config.runs_dir or cache_folder("runs"),
            progress=progress,
            num_jobs=config.num_jobs,
            precision=config.precision,
            epochs=config.epochs,
            num_pilots=config.num_pilots,
        )
        for fit, keys in fits.items():
            models |= fit(keys, context)
            if missing := [key for key in keys if key not in models]:
                raise ConfigError(f"codec {missing[0].codec}: its fit returned no model for {missing[0]}")
    return models


def _code_version(make_links: Callable[..., Any]) -> str:
    """Digest of the file that defines a codec's links; never the same twice for code that is in no file."""
    function = make_links.func if isinstance(make_links, partial) else make_links
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    return file_sha256(Path(file)) if file else uuid.uuid4().hex


def _model_of_set(model_set: ModelSet, name: str) -> FittedModel:
    codec = model_set.codec(name)
    model = NestedModel.of(codec) if isinstance(codec, NestedCodec) else codec
    key = " ".join(file.sha256 for file in codec.entry.files)
    return FittedModel(model, trained_on=codec.entry.training_data, key=key)
