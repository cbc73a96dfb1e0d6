"""From a dataset's name to a model set that a link can run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.progress import Progress

from engines.models.image_encoder import ImageEncoder
from engines.models.manifest import CodecEntry
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, ModelSetError
from semlink.rates import Rate
from trainer.codecs.config import Objective, Precision, ProjectionLoss, TrainingChannel
from trainer.codecs.fitting import FittingContext
from trainer.codecs.model_set import copy_file, save_codec
from trainer.codecs.nested import NestedModel
from trainer.codecs.spec import CodecSpec, Need
from trainer.codecs.table import find_codec, trainable_codecs
from trainer.codecs.training_data import training_images
from trainer.datasets import open_dataset
from trainer.evaluation.checks import check_training_set
from trainer.evaluation.validation import validation_accuracy
from trainer.model_set_writer import set_codec, set_encoder

__all__ = ["ModelSetConfig", "train_model_set"]


_OPTIONS = {"channel": "--channel", "epochs": "--epochs", "objective": "--objective", "projection_loss": "--loss"}
"""Settings that some codecs do not use, by their options."""


@dataclass(frozen=True, kw_only=True)
class ModelSetConfig:
    """What to train, on which images, and where to write it.

    Attributes
    ----------
    out : folder of the model set; a new one, or the encoder's own, which gets the codecs added
    codecs : names of trainable codecs
    rates, channel : of the codecs that are fitted for them; the nested codecs serve every rate and channel
    data : dataset; one without a training set is used whole
    model_set : set whose image encoder is used
    epochs : largest number of epochs of a run of `kbsc`
    seed : seed of weights, order, noise and split
    precision : arithmetic of matrix products in training
    projection_loss : loss of the projection head of `nested-labels` and `label`
    objective : what `kbsc` preserves of the features
    num_jobs : training runs at the same time
    runs_dir : folder of training runs; the cache if None
    """

    out: Path
    codecs: tuple[str, ...] = ("nested",)
    rates: tuple[Rate, ...]
    channel: TrainingChannel = "awgn"
    data: str = "cifar100"
    model_set: str = "builtin"
    seed: int = 0
    epochs: int = 60
    precision: Precision = "bf16"
    projection_loss: ProjectionLoss = "proxy"
    objective: Objective = "mse"
    num_jobs: int = 1
    runs_dir: Path | None = None

    def specs(self) -> tuple[CodecSpec, ...]:
        """Look up the codecs; ConfigError if one cannot be trained, or a setting is for a codec that is not named."""
        specs = tuple(find_codec(name) for name in dict.fromkeys(self.codecs))
        for spec in specs:
            if not spec.is_trainable:
                known = ", ".join(trainable_codecs())
                raise ConfigError(f'codec "{spec.name}" cannot be trained into a model set; choose from: {known}')
        for setting, option in _OPTIONS.items():
            value, default = getattr(self, setting), getattr(ModelSetConfig, setting)
            if value != default and not any(_uses(spec, setting) for spec in specs):
                users = ", ".join(name for name in trainable_codecs() if _uses(find_codec(name), setting))
                raise ConfigError(f"{option} {value} is for {users}, which --codec does not name")
        return specs


def _uses(codec: CodecSpec, setting: str) -> bool:
    return "channel" in codec.fitted_for if setting == "channel" else setting in codec.fit_settings


def train_model_set(config: ModelSetConfig, *, progress: Progress) -> ModelSet:
    """Train codecs and write encoder, codecs and manifest.

    Every codec is trained before any file is written, so a failed training leaves the folder as it was.

    Raises
    ------
    ModelSetError
        If `out` is another model set, or cannot be made; nothing is trained then.
    DatasetError
        If a codec cannot be fitted to the images; nothing is encoded then.
    """
    specs, out = config.specs(), config.out
    source = ModelSet.find(config.model_set)
    is_own = out.is_dir() and out.samefile(source.folder)
    if not is_own and (out / "manifest.json").exists():
        raise ModelSetError(f"{out}: is a model set already; name a new folder, or the encoder's own")
    for spec in specs:
        spec.load_fit()  # a missing package is found before anything is encoded
    dataset = open_dataset(config.data, progress=progress)
    check_training_set(specs, training_images(dataset, whole=True), progress)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelSetError(f"{out}: {error.strerror}") from None
    encoder = ImageEncoder(source, num_threads=config.num_jobs)
    context = replace(
        FittingContext.of(dataset, encoder, config, progress, whole=True),
        objective=config.objective,
        projection_loss=config.projection_loss,
    )
    trained = [_trained(spec, config, context) for spec in specs]
    try:
        if not is_own:
            copy_file(source.encoder_path, out / source.manifest.encoder.graph.file)
            set_encoder(out, source.manifest.encoder)
        for save in trained:
            set_codec(out, save(out))
    except OSError as error:
        raise ModelSetError(f"{out}: cannot be written: {error.strerror}; train again to repair it") from None
    return ModelSet(out)


def _trained(spec: CodecSpec, config: ModelSetConfig, context: FittingContext) -> Callable[[Path], CodecEntry]:
    """Train one codec; returns the function that writes it to a folder and describes it."""
    keys = spec.fit_keys(config.rates, (config.seed,), (config.channel,))
    fitted = list(spec.load_fit()(keys, context).values())
    if _uses(spec, "channel"):
        settings = f"{config.channel}, {config.objective}"
    elif Need.LABELS in spec.needs:
        settings = f"labels, {config.projection_loss} loss, no channel"
    else:
        settings = "no labels, no channel"
    model = fitted[0].model
    measured = validation_accuracy(model, context.data, seed=config.seed) if isinstance(model, NestedModel) else {}
    training_data = f"{context.data.source}; {settings}, seed {config.seed}"
    return partial(save_codec, spec.name, fitted, training_data=training_data, measured=measured)
