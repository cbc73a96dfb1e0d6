"""The argument of every codec's `fit`: a training set, and how to train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from semlink.channel import ChannelModel, default_num_pilots
from trainer.codecs.config import Objective, Precision, ProjectionLoss
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.base import ImageList
from trainer.features import FeatureEncoder

__all__ = ["FittingContext"]


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
