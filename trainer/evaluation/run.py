"""From a dataset's name to a finished evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink import __version__
from semlink.cache import cache_folder
from semlink.cli.output import notify
from semlink.cli.progress import progress_bars
from trainer.codecs import config as recipe
from trainer.codecs import nested
from trainer.codecs import projection_head as projection
from trainer.codecs.config import CodecTraining
from trainer.codecs.fitting import fitted_nested, fitted_nested_labels, fitted_projection
from trainer.codecs.training_data import TrainingFeatures, training_features
from trainer.datasets import open_dataset
from trainer.evaluation.grid import Grid, train_all, trainings_of
from trainer.evaluation.journal import Journal
from trainer.evaluation.measure import Measurement
from trainer.evaluation.record import Record
from trainer.evaluation.references import check_references, check_weights, evaluate_index_polar, evaluate_picture_codecs
from trainer.evaluation.report import EvaluationReport
from trainer.features import cached_features
from trainer.links import vq_link
from trainer.links.references import deepjscc_training
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.vq_link import QUANTIZERS, fitted_quantizer

__all__ = ["run_evaluation"]

_LEARNS_NOTHING = {"index", "index-polar", "uncoded"}
_FIT_VERSIONS = (
    projection.FIT_VERSION,
    nested.FIT_VERSION,
    recipe.FIT_VERSION,
    vq_link.FIT_VERSION,
    deepjscc_training.FIT_VERSION,
)

_log = logging.getLogger(__name__)


def run_evaluation(
    grid: Grid,
    *,
    data: str,
    train_data: str | None,
    model_set: str,
    weights: Literal["auto", "trained", "model-set"],
    count: int | None,
    epochs: int,
    precision: Literal["bf16", "fp32"],
    num_jobs: int,
    runs: Path | None,
    command: str,
    console: Console,
    deliver: Callable[[EvaluationReport], None] | None = None,
) -> EvaluationReport:
    """Prepare features, train what is missing, and measure every cell of the grid.

    Parameters
    ----------
    train_data : dataset to train codecs on; `data` itself if None
    weights : "trained", "model-set", or "auto", which trains on cifar100 and takes the model set's
        codec for every other dataset
    count : send at most so many images, evenly from all; None sends all
    runs : folder of training runs; the cache if None
    deliver : takes the report; until it has, an interrupted evaluation can go on
    """
    check_references(grid)
    models = ModelSet.find(model_set)
    encoder = ImageEncoder(models, num_threads=num_jobs)
    with progress_bars(console) as progress:
        dataset = open_dataset(data, progress=progress)
        if weights == "auto":
            weights = "trained" if dataset.name == "cifar100" else "model-set"
            _log.info("weights auto: chose %s for %s", weights, dataset.name)
        check_weights(grid, weights)
        sent_images = dataset.sent.spread(count)
        sent = cached_features(sent_images, encoder, progress=progress)
        kb = cached_features(dataset.knowledge_base, encoder, progress=progress)
        noiseless = NoiselessRetrieval.of(
            sent, np.asarray(sent_images.labels), kb, np.asarray(dataset.knowledge_base.labels)
        )
        check_references(grid, len(kb))
        training_data, taught = None, None
        if weights == "trained" and set(grid.codecs) - _LEARNS_NOTHING:
            taught = open_dataset(train_data or data, progress=progress)
            training_data = training_features(taught, encoder, progress)
        images = (encoder.fingerprint, sent_images.content_key, dataset.knowledge_base.content_key)
        # All that a record depends on, this release included.
        journal = Journal(
            cache_folder("evaluations"),
            *(grid, weights, epochs, precision, *images, model_set_key(models), __version__),
            *(training_data.key if training_data else "", _FIT_VERSIONS),
        )
        if journal.num_records:
            notify(console, f"going on with an interrupted evaluation: {journal.num_records} cells are known")
        learnt = replace(grid, codecs=tuple(codec for codec in grid.codecs if codec not in _LEARNS_NOTHING))
        measurement = Measurement(learnt, noiseless, progress, journal, num_jobs)
        records: list[Record] = []
        if learnt.codecs and weights == "model-set":
            records += measurement.model_set(models)
        elif training_data is not None and taught is not None:
            template = CodecTraining(codec="kbsc", num_symbols=64, epochs=epochs, precision=precision)
            folder = runs or cache_folder("runs")
            trainings = trainings_of(learnt, template)
            trained = train_all(trainings, training_data, folder, num_jobs=num_jobs, progress=progress)
            records += measurement.trained(trained)
            records += _measure_fits(measurement, training_data, folder, precision=precision)
            records += evaluate_picture_codecs(
                measurement, sent_images, taught.train, training_data, encoder, folder, precision=precision
            )
        if "index" in grid.codecs:
            records += measurement.index()
        if "index-polar" in grid.codecs:
            records += evaluate_index_polar(measurement)
        if "uncoded" in grid.codecs:
            records += measurement.uncoded()
    report = EvaluationReport.of(
        records,
        command=command,
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        dataset=dataset.name,
        num_sent=len(sent),
        num_kb_entries=len(kb),
        weights=weights,
        noiseless_accuracy=noiseless.noiseless_accuracy,
        num_categories=len(np.unique(noiseless.kb_labels)),
    )
    if deliver is not None:
        deliver(report)
    journal.finish()
    return report


def model_set_key(models: ModelSet) -> str:
    """All that a model set's codecs are, by content."""
    return " ".join(file.sha256 for codec in models.codecs for file in codec.entry.files)


def _measure_fits(
    measurement: Measurement, training_data: TrainingFeatures, folder: Path, *, precision: Literal["bf16", "fp32"]
) -> list[Record]:
    """Fit and measure the codecs that one fit serves at every rate and on every channel."""
    grid, progress = measurement.grid, measurement.progress
    records: list[Record] = []
    if {"nested", "nested-feedback"} & {*grid.codecs}:
        seeds = progress.track(grid.seeds, description="fitting nested")
        codebooks = {seed: fitted_nested(seed, training_data, folder) for seed in seeds}
        if "nested" in grid.codecs:
            records += measurement.nested("nested", codebooks, trained_on=training_data.source)
        if "nested-feedback" in grid.codecs:
            records += measurement.nested_feedback(codebooks, trained_on=training_data.source)
    for name in QUANTIZERS:
        if name in grid.codecs:
            seeds = progress.track(grid.seeds, description=f"fitting {name}")
            quantizers = {seed: fitted_quantizer(name, seed, training_data, folder) for seed in seeds}
            records += measurement.quantizers(quantizers, name=name, trained_on=training_data.source)
    if {"nested-labels", "index-labels", "label"} & {*grid.codecs}:
        seeds = progress.track(grid.seeds, description="training keys")
        fits = {seed: fitted_projection(seed, training_data, folder, precision=precision) for seed in seeds}
        models = {seed: fit.model for seed, fit in fits.items()}
        for labelled in ("nested-labels", "label"):
            if labelled in grid.codecs:
                alone = labelled == "label"
                seeds = progress.track(grid.seeds, description=f"fitting {labelled}")
                codebooks = {
                    seed: fitted_nested_labels(seed, training_data, fits[seed], folder, label_alone=alone)
                    for seed in seeds
                }
                records += measurement.nested(labelled, codebooks, projection=models, trained_on=training_data.source)
        if "index-labels" in grid.codecs:
            records += measurement.index(projection=models, trained_on=training_data.source)
    return records
