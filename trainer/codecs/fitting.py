"""The fits that one seed and one training set give: `nested`, and keys with the code around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from engines.models.codebook import Codebook
from engines.models.projection_head import KeyModel
from semlink.errors import DatasetError
from trainer.codecs.nested import NestedFit, fitted_codebook
from trainer.codecs.projection_head import KeyTraining, trained_keys
from trainer.codecs.training_data import TrainingFeatures

__all__ = ["FittedKeys", "fitted_keys", "fitted_nested", "fitted_nested_labels"]


_IMAGES_OF_EACH = 13
"""On average; four fifths of them are learnt from, and a code takes ten."""


@dataclass(frozen=True, eq=False)
class FittedKeys:
    """A trained key network, where its graph lies, and the run that made it."""

    model: KeyModel
    graph_path: Path
    training: KeyTraining


def fitted_nested(seed: int, learning: TrainingFeatures, runs: Path) -> Codebook:
    """`nested`: from images alone."""
    return fitted_codebook(NestedFit.for_images(seed, len(learning.features)), learning, runs)


def fitted_keys(
    seed: int,
    learning: TrainingFeatures,
    runs: Path,
    *,
    precision: Literal["bf16", "fp32"],
    loss: Literal["proxy", "contrastive"] = "proxy",
) -> FittedKeys:
    """The key network of both codecs with labels; DatasetError where there are too few images to learn them."""
    if len(learning.features) < _IMAGES_OF_EACH * len(learning.categories):
        raise DatasetError(
            f"learning categories takes {_IMAGES_OF_EACH} images of each, got {len(learning.features)} images of"
            f" {len(learning.categories)} (a folder's are its class folders); nested needs no labels"
        )
    training = KeyTraining.for_images(seed, len(learning.features), precision=precision, loss=loss)
    return FittedKeys(trained_keys(training, learning, runs), training.graph_path(learning, runs), training)


def fitted_nested_labels(
    seed: int, learning: TrainingFeatures, keys: FittedKeys, runs: Path, *, label_alone: bool = False
) -> Codebook:
    """`nested-labels`: a nested code of the keys that the training images have, with cells around the proxies.

    With `label_alone` it is `label`: all of the power in the category's codeword, whatever the image looks like.
    """
    keyed = replace(
        learning,
        features=keys.model.of_images(learning.features),
        content_key=keys.training.key(learning),
    )
    fit = NestedFit.for_keys(seed, len(learning.categories))
    if label_alone:
        fit = msgspec.structs.replace(fit, coarse_share=1.0, clear_share=1.0, unfamiliar_share=0.0)
    return fitted_codebook(fit, keyed, runs, proxies=keys.model.proxies)
