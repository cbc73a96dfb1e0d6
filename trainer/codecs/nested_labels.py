"""Fit `nested-labels` and `label`: a projection head trained on labels, and a nested code of projected features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from engines.models.codebook import Codebook
from engines.models.projection_head import ProjectionHead
from semlink.errors import DatasetError
from trainer.codecs.config import LabelsConfig, Precision, ProjectionLoss
from trainer.codecs.fitting import FittingContext
from trainer.codecs.limits import refuse_few_images_per_category
from trainer.codecs.nested import NestedModel
from trainer.codecs.nested_cells import CellsFit, fitted_codebook
from trainer.codecs.projection_head import ProjectionTraining, trained_projection
from trainer.codecs.spec import FitKey, FittedModel, TrainingCase
from trainer.codecs.training_data import TrainingFeatures

__all__ = ["FittedProjection", "fit_labelled", "fitted_nested_labels", "fitted_projection"]


@dataclass(frozen=True, eq=False)
class FittedProjection:
    """A trained projection head, the file of its graph, and the run that made it."""

    model: ProjectionHead
    graph_path: Path
    training: ProjectionTraining


def fit_labelled(keys: Sequence[FitKey], context: FittingContext) -> Mapping[FitKey, FittedModel]:
    """Fit a projection head for each seed, and for each codec a codebook around its proxies.

    A codec's `fit_config` is a `LabelsConfig`.
    """
    data, runs, progress = context.data, context.runs, context.progress
    seeds = progress.track(list(dict.fromkeys(key.seed for key in keys)), description="training projection heads")
    projections = {
        seed: fitted_projection(seed, data, runs, precision=context.precision, loss=context.projection_loss)
        for seed in seeds
    }
    fitted = {}
    for key in progress.track(keys, description="fitting projected features"):
        projection, label_alone = projections[key.seed], key.config_of(LabelsConfig).label_alone
        codebook = fitted_nested_labels(key.seed, data, projection, runs, label_alone=label_alone)
        model = NestedModel(codebook, projection.model, projection.graph_path)
        fitted[key] = FittedModel(model, trained_on=data.source, key=model.content_key)
    return fitted


def fitted_projection(
    seed: int, data: TrainingFeatures, runs: Path, *, precision: Precision, loss: ProjectionLoss = "proxy"
) -> FittedProjection:
    """Train the projection head of both codecs, or read an earlier run.

    Raises
    ------
    DatasetError
        If there are too few images of each category.
    """
    case = TrainingCase(len(data.features), len(data.categories))
    if reason := refuse_few_images_per_category("a projection head", case):
        raise DatasetError(reason)
    training = ProjectionTraining.for_images(seed, len(data.features), precision=precision, loss=loss)
    return FittedProjection(trained_projection(training, data, runs), training.graph_path(data, runs), training)


def fitted_nested_labels(
    seed: int, data: TrainingFeatures, projection: FittedProjection, runs: Path, *, label_alone: bool = False
) -> Codebook:
    """Fit `nested-labels`: a nested code of the training images' projected features, with cells around the proxies.

    With `label_alone` it is `label`: the category's codeword has all of the power, whatever the image's features.
    """
    projected = replace(
        data, features=projection.model.project_images(data.features), content_key=projection.training.key(data)
    )
    fit = CellsFit.for_projection(seed, len(data.categories))
    if label_alone:
        fit = msgspec.structs.replace(
            fit, digital_power_share=1.0, high_snr_digital_power_share=1.0, analog_only_share=0.0
        )
    return fitted_codebook(fit, projected, runs, proxies=projection.model.proxies)
