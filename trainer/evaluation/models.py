"""A model for every key of a grid: fitted, of a model set, or none."""

from __future__ import annotations

from collections.abc import Mapping

from rich.progress import Progress

from engines.models.codecs import NestedCodec
from engines.models.model_set import ModelSet
from semlink.cache import cache_folder
from semlink.errors import ConfigError
from trainer.codecs.fitting import FittingContext
from trainer.codecs.nested import NestedModel
from trainer.codecs.spec import Fit, FitKey, FittedModel
from trainer.codecs.training_data import training_features, training_images
from trainer.datasets import Dataset
from trainer.evaluation.checks import model_owner
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.grid import Grid
from trainer.evaluation.sources import Sources
from trainer.features import FeatureEncoder

__all__ = ["fitted_models"]


def fitted_models(
    config: EvaluationConfig, grid: Grid, sources: Sources, progress: Progress
) -> Mapping[FitKey, FittedModel]:
    """A model for every key of every codec that owns one; what `sources` has a training set for is fitted.

    Raises
    ------
    ConfigError
        If a codec's fit returns no model for a key.
    """
    models: dict[FitKey, FittedModel] = {}
    fits: dict[Fit, list[FitKey]] = {}
    for owner in dict.fromkeys(model_owner(codec) for codec in grid.codecs):
        keys = owner.fit_keys(grid.rates, grid.seeds, grid.training_channels)
        if owner.fit is None:
            models |= dict.fromkeys(keys, FittedModel(None, trained_on="nothing", key=""))
        elif sources.training is None:
            models |= dict.fromkeys(keys, _model_of_set(sources.model_set, owner.name))
        else:
            fits.setdefault(owner.load_fit(), []).extend(keys)
    if sources.training is not None:
        context = _context(config, sources.training, sources.encoder, progress)
        for fit, keys in fits.items():
            models |= fit(keys, context)
            if missing := [key for key in keys if key not in models]:
                raise ConfigError(f"codec {missing[0].codec}: its fit returned no model for {missing[0]}")
    return models


def _context(
    config: EvaluationConfig, training: Dataset, encoder: FeatureEncoder, progress: Progress
) -> FittingContext:
    return FittingContext(
        data=training_features(training, encoder, progress),
        images=training_images(training),
        encoder=encoder,
        runs=config.runs_dir or cache_folder("runs"),
        progress=progress,
        num_jobs=config.num_jobs,
        precision=config.precision,
        epochs=config.epochs,
        num_pilots=config.num_pilots,
    )


def _model_of_set(model_set: ModelSet, name: str) -> FittedModel:
    codec = model_set.codec(name)
    model = NestedModel.of(codec) if isinstance(codec, NestedCodec) else codec
    key = " ".join(file.sha256 for file in codec.entry.files)
    return FittedModel(model, trained_on=codec.entry.training_data, key=key)
