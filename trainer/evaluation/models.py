"""A model for every key of a grid: fitted, of a model set, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.progress import Progress

from engines.models.codecs import NestedCodec
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError
from trainer.codecs.fitting import FittingContext
from trainer.codecs.nested import NestedModel
from trainer.codecs.spec import Fit, FitKey, FittedModel
from trainer.evaluation.checks import model_owner
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.grid import Grid
from trainer.evaluation.sources import Sources

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
        context = FittingContext.of(sources.training, sources.encoder, config, progress)
        context = replace(context, num_pilots=config.num_pilots)
        for fit, keys in fits.items():
            models |= fit(keys, context)
            if missing := [key for key in keys if key not in models]:
                raise ConfigError(f"codec {missing[0].codec}: its fit returned no model for {missing[0]}")
    return models


def _model_of_set(model_set: ModelSet, name: str) -> FittedModel:
    codec = model_set.codec(name)
    model = NestedModel.of(codec) if isinstance(codec, NestedCodec) else codec
    key = " ".join(file.sha256 for file in codec.entry.files)
    return FittedModel(model, trained_on=codec.entry.training_data, key=key)
