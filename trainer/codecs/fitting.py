"""The fits that one seed and one training set give: `nested`, and keys with the code around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from engines.models.codebook import Codebook
from engines.models.projection_head import ProjectionHead
from semlink.errors import DatasetError
from trainer.codecs.nested import NestedFit, fitted_codebook
from trainer.codecs.projection_head import ProjectionTraining, trained_projection
from trainer.codecs.training_data import TrainingFeatures

__all__ = ["FittedProjection", "fitted_nested", "fitted_nested_labels", "fitted_projection"]


_IMAGES_OF_EACH = 13
"""On average; four fifths of them are learnt from, and a code takes ten."""


@dataclass(frozen=True, eq=False)
class FittedProjection:
    """A trained key network, where its graph lies, and the run that made it."""

    model: ProjectionHead
    graph_path: Path
    training: ProjectionTraining


def fitted_nested(seed: int, training_data: TrainingFeatures, runs: Path) -> Codebook:
    """`nested`: from images alone."""
    return fitted_codebook(NestedFit.for_images(seed, len(training_data.features)), training_data, runs)


def fitted_projection(
    seed: int,
    training_data: TrainingFeatures,
    runs: Path,
    *,
    precision: Literal["bf16", "fp32"],
    loss: Literal["proxy", "contrastive"] = "proxy",
) -> FittedProjection:
    """The key network of both codecs with labels; DatasetError where there are too few images to learn them."""
    if len(training_data.features) < _IMAGES_OF_EACH * len(training_data.categories):
        raise DatasetError(
            f"learning categories takes {_IMAGES_OF_EACH} images of each, got {len(training_data.features)} images of"
            f" {len(training_data.categories)} (a folder's are its class folders); nested needs no labels"
        )
    training = ProjectionTraining.for_images(seed, len(training_data.features), precision=precision, loss=loss)
    return FittedProjection(
        trained_projection(training, training_data, runs), training.graph_path(training_data, runs), training
    )


def fitted_nested_labels(
    seed: int, training_data: TrainingFeatures, projection: FittedProjection, runs: Path, *, label_alone: bool = False
) -> Codebook:
    """`nested-labels`: a nested code of the keys that the training images have, with cells around the proxies.

    With `label_alone` it is `label`: all of the power in the category's codeword, whatever the image looks like.
    """
    keyed = replace(
        training_data,
        features=projection.model.project_images(training_data.features),
        content_key=projection.training.key(training_data),
    )
    fit = NestedFit.for_keys(seed, len(training_data.categories))
    if label_alone:
        fit = msgspec.structs.replace(
            fit, digital_power_share=1.0, high_snr_digital_power_share=1.0, analog_only_share=0.0
        )
    return fitted_codebook(fit, keyed, runs, proxies=projection.model.proxies)
