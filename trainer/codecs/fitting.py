"""The argument of every codec's `fit`: a training set, and how to train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.progress import Progress

from semlink.cache import cache_folder
from semlink.channel import ChannelModel, default_num_pilots
from trainer.codecs.config import Objective, Precision, ProjectionLoss
from trainer.codecs.training_data import TrainingFeatures, training_features, training_images
from trainer.datasets import Dataset
from trainer.datasets.base import ImageList
from trainer.features import FeatureEncoder

__all__ = ["FittingConfig", "FittingContext"]


class FittingConfig(Protocol):
    """Settings of fitting that the configs of an evaluation and of a model set's training both have."""

    @property
    def runs_dir(self) -> Path | None:
        """Folder of training runs; the cache if None."""
        ...

    @property
    def num_jobs(self) -> int:
        """Training runs at a time."""
        ...

    @property
    def precision(self) -> Precision:
        """Arithmetic of matrix products in training."""
        ...

    @property
    def epochs(self) -> int:
        """Largest number of epochs of a run of `kbsc`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class FittingContext:
    """A training set, and how to fit codecs to it.

    Attributes
    ----------
    data : features and labels of the training images
    images : the same images as pictures, in the same order
    encoder : the image encoder that gave the features
    runs : folder of training runs, each of which is kept and found again
    progress : shows progress
    num_jobs : training runs at a time
    precision : arithmetic of matrix products in training
    epochs : largest number of epochs of a run of `kbsc`
    num_pilots : pilots from which a receiver estimates a Rayleigh gain in training
    objective : what `kbsc` preserves of the features
    projection_loss : loss of the projection head of `nested-labels` and `label`
    """

    data: TrainingFeatures
    images: ImageList
    encoder: FeatureEncoder
    runs: Path
    progress: Progress
    num_jobs: int = 1
    precision: Precision = "bf16"
    epochs: int = 60
    num_pilots: int = default_num_pilots(ChannelModel.RAYLEIGH)
    objective: Objective = "mse"
    projection_loss: ProjectionLoss = "proxy"

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        encoder: FeatureEncoder,
        config: FittingConfig,
        progress: Progress,
        *,
        whole: bool = False,
    ) -> FittingContext:
        """Encode a dataset's training images, see `training_images`; settings of some codecs keep their defaults."""
        return cls(
            data=training_features(dataset, encoder, progress, whole=whole),
            images=training_images(dataset, whole=whole),
            encoder=encoder,
            runs=config.runs_dir or cache_folder("runs"),
            progress=progress,
            num_jobs=config.num_jobs,
            precision=config.precision,
            epochs=config.epochs,
        )
