"""Training runs of `kbsc` and of codecs with its network, side by side in processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from rich.progress import Progress, TaskID

from trainer.codecs.config import CodecTraining, KbscConfig, TrainedCodec, TrainingChannel, TrainingRun
from trainer.codecs.fitting import FittingContext
from trainer.codecs.spec import FitKey, FittedModel
from trainer.codecs.training import train_codec
from trainer.codecs.training_data import TrainingFeatures
from trainer.codecs.workers import train_in_processes

__all__ = ["fit_kbsc", "train_all", "training_of"]


def fit_kbsc(keys: Sequence[FitKey], context: FittingContext) -> Mapping[FitKey, FittedModel]:
    """Train a network for each codec, rate, seed and channel of training; a codec's `fit_config` is a `KbscConfig`."""
    trained = train_all(
        [training_of(key, context) for key in keys],
        context.data,
        context.runs,
        num_jobs=context.num_jobs,
        progress=context.progress,
    )
    return {
        key: FittedModel(codec, trained_on=f"{codec.source}, {codec.training.channel}", key=Path(codec.folder).name)
        for key, codec in zip(keys, trained, strict=True)
    }


def training_of(key: FitKey, context: FittingContext) -> TrainingRun:
    """Settings of one run, with pilots if its receiver needs them.

    Raises
    ------
    ConfigError
        If the codec's entry has no `KbscConfig`, or excludes one of the context's settings.
    """
    config, channel = key.config_of(KbscConfig), cast(TrainingChannel, key.channel)
    settings = CodecTraining(
        codec=key.codec,
        num_symbols=key.num_symbols,
        channel=channel,
        seed=key.seed,
        num_pilots=context.num_pilots if config.needs_pilots(channel) else 0,
        epochs=context.epochs,
        precision=context.precision,
        loss=context.objective,
    )
    return TrainingRun(settings, config)


def train_all(
    trainings: Sequence[TrainingRun], data: TrainingFeatures, runs: Path, *, num_jobs: int, progress: Progress
) -> list[TrainedCodec]:
    """Train what is not trained yet, `num_jobs` runs at a time, each on one core.

    A run has one core so that its arithmetic, and with it the result, does not depend on the number of runs.
    """
    if not trainings:
        return []
    epochs = sum(training.settings.epochs for training in trainings)
    task = progress.add_task(f"training {len(trainings)} codecs", total=epochs)
    if num_jobs == 1 or len(trainings) == 1:
        return [_train_reported(training, data, runs, progress, task) for training in trainings]
    return train_in_processes(
        trainings, data, runs, num_jobs=num_jobs, advance=lambda num_epochs: progress.advance(task, num_epochs)
    )


def _train_reported(
    training: TrainingRun, data: TrainingFeatures, runs: Path, progress: Progress, task: TaskID
) -> TrainedCodec:
    torch.set_num_threads(1)
    trained = train_codec(training, data, runs, report=lambda *_: progress.advance(task))
    progress.advance(task, training.settings.epochs - len(trained.validation_accuracy))
    return trained
