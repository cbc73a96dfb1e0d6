"""From an `EvaluationConfig` to a finished report: check, encode, fit, measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.progress import Progress

from semlink import __version__
from semlink.cache import cache_folder
from semlink.cli.output import notify
from trainer.codecs.spec import FitKey, FittedModel
from trainer.evaluation.checks import model_owner
from trainer.evaluation.code_version import channel_version, code_version
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.grid import Grid
from trainer.evaluation.journal import Journal
from trainer.evaluation.measure import Measurement
from trainer.evaluation.models import fitted_models
from trainer.evaluation.record import Record
from trainer.evaluation.report import EvaluationReport
from trainer.evaluation.sources import Sources, open_sources
from trainer.features import cached_features
from trainer.links.base import LinkInputs
from trainer.links.retrieval import NoiselessRetrieval

__all__ = ["evaluate"]


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
        sources = open_sources(config, grid, progress)
        noiseless = _noiseless_retrieval(sources, progress)
        models = fitted_models(config, grid, sources, progress)
        journal = _journal(config, grid, sources, models)
        if journal.num_records:
            message = f"continuing an interrupted evaluation: {journal.num_records} cells are measured"
            notify(progress.console, message)
        inputs = LinkInputs(noiseless, sources.images, sources.encoder, config.answer)
        measurement = Measurement(grid, noiseless, progress, journal, config.num_jobs)
        records: list[Record] = []
        for codec in grid.codecs:
            records += measurement.codec(codec, models, codec.load_links()(inputs))
    report = _report(records, config, sources, noiseless, command)
    if deliver is not None:
        deliver(report)
    journal.finish()
    return report


def _noiseless_retrieval(sources: Sources, progress: Progress) -> NoiselessRetrieval:
    images, kb = sources.images, sources.dataset.knowledge_base
    return NoiselessRetrieval.of(
        cached_features(images, sources.encoder, progress=progress),
        np.asarray(images.labels),
        cached_features(kb, sources.encoder, progress=progress),
        np.asarray(kb.labels),
    )


def _journal(config: EvaluationConfig, grid: Grid, sources: Sources, models: Mapping[FitKey, FittedModel]) -> Journal:
    """The journal of what the records depend on: settings, images, encoder, models and code."""
    named = replace(grid, codecs=(), channels=())
    owners = [] if sources.training is None else dict.fromkeys(model_owner(codec) for codec in grid.codecs)
    return Journal(
        cache_folder("evaluations"),
        *(named, config.answer, *(codec.name for codec in grid.codecs), *map(channel_version, grid.channels)),
        *(sources.encoder.fingerprint, sources.images.content_key, sources.dataset.knowledge_base.content_key),
        *((key, fitted.key) for key, fitted in models.items()),
        *(code_version(codec.load_links()) for codec in grid.codecs),
        *(code_version(owner.load_fit()) for owner in owners if owner.fit is not None),
        __version__,
    )


def _report(
    records: list[Record], config: EvaluationConfig, sources: Sources, noiseless: NoiselessRetrieval, command: str
) -> EvaluationReport:
    return EvaluationReport.of(
        records,
        command=command,
        encoder=sources.encoder.name,
        encoder_fingerprint=sources.encoder.fingerprint,
        dataset=sources.dataset.name,
        num_sent=len(noiseless.features),
        num_kb_entries=len(noiseless.index),
        weights=sources.weights,
        noiseless_accuracy=noiseless.accuracy,
        num_categories=len(np.unique(noiseless.kb_labels)),
        settings=config.settings(),
    )
