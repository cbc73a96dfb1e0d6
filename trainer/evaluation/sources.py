"""Model set, datasets and image encoder of an evaluation, opened in the order in which they can refuse a cell.

What takes long comes last: a dataset may be downloaded, and an encoder may be downloaded or fitted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError
from trainer.codecs.training_data import training_images
from trainer.datasets import Dataset, open_dataset
from trainer.datasets.base import ImageList
from trainer.encoders.registry import load_encoder, open_encoder, require_encoder
from trainer.evaluation.checks import (
    check_grid,
    check_model_set,
    check_packages,
    check_training_set,
    image_sizes,
    model_owner,
)
from trainer.evaluation.config import EvaluationConfig, Weights
from trainer.evaluation.grid import Grid
from trainer.features import FeatureEncoder

__all__ = ["Sources", "open_sources"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """What an evaluation runs on; every cell of its grid can run.

    Attributes
    ----------
    images : the images to send, at most as many as the config's limit
    training : the dataset to train codecs on; None if none is trained
    """

    dataset: Dataset
    images: ImageList
    weights: Weights
    training: Dataset | None
    model_set: ModelSet
    encoder: FeatureEncoder


def open_sources(config: EvaluationConfig, grid: Grid, progress: Progress) -> Sources:
    """Open what an evaluation runs on.

    Raises
    ------
    ConfigError, DatasetError, MissingDependencyError
        If a cell of the grid cannot run; nothing is encoded then. An encoder is loaded after every check but that of
        the number of its features.
    """
    model_set = ModelSet.find(config.model_set)
    feature_dim = _check_encoder(config, model_set)
    check_grid(grid, feature_dim=feature_dim)
    check_packages(grid, fits=config.weights == "trained")
    if config.weights == "model-set":
        check_model_set(grid, model_set)
    dataset = open_dataset(config.data, progress=progress)
    images = dataset.sent.spread(config.limit)
    weights = _weights(config, dataset)
    if weights == "model-set":
        check_model_set(grid, model_set)
    num_entries = len(dataset.knowledge_base)
    check_grid(grid, feature_dim=feature_dim, num_entries=num_entries)
    sizes_px = image_sizes(grid.codecs, images, progress)
    check_grid(grid, feature_dim=feature_dim, num_entries=num_entries, image_sizes_px=sizes_px)
    training = _training(config, grid, progress) if weights == "trained" else None
    encoder = _encoder(config, model_set, progress)
    check_grid(grid, feature_dim=encoder.feature_dim, num_entries=num_entries, image_sizes_px=sizes_px)
    return Sources(dataset, images, weights, training, model_set, encoder)


def _check_encoder(config: EvaluationConfig, model_set: ModelSet) -> int | None:
    """Check the encoder's name; returns the number of its features, None before it is loaded."""
    if config.encoder is None:
        return model_set.feature_dim
    if config.weights == "model-set":
        raise ConfigError("a model set's codecs are for its own encoder; use --weights trained with --encoder")
    if isinstance(config.encoder, str):
        require_encoder(config.encoder)
    return None


def _weights(config: EvaluationConfig, dataset: Dataset) -> Weights:
    if config.weights != "auto":
        return config.weights
    weights: Weights = "trained" if dataset.name == "cifar100" or config.encoder is not None else "model-set"
    _log.info("weights auto: chose %s for %s", weights, dataset.name)
    return weights


def _training(config: EvaluationConfig, grid: Grid, progress: Progress) -> Dataset | None:
    """The dataset to train codecs on, to which each of them can be fitted; None if none of them is fitted."""
    owners = [owner for owner in dict.fromkeys(map(model_owner, grid.codecs)) if owner.fit is not None]
    if not owners:
        return None
    check_packages(grid, fits=True)
    training = open_dataset(config.train_data or config.data, progress=progress)
    check_training_set(owners, training_images(training), progress)
    return training


def _encoder(config: EvaluationConfig, model_set: ModelSet, progress: Progress) -> FeatureEncoder:
    source = config.encoder
    if source is None:
        return ImageEncoder(model_set, num_threads=config.num_jobs)
    if isinstance(source, str):
        source = load_encoder(source, num_threads=config.num_jobs, progress=progress)
    return open_encoder(source, num_threads=config.num_jobs)
