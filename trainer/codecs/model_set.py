"""From a dataset's name to a model set that a link can run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
from rich.progress import Progress

from engines.models.codebook import Codebook
from engines.models.image_encoder import ImageEncoder
from engines.models.manifest import CodecEntry, CodecRateEntry, NestedCodecEntry, PerRateCodecEntry, ProjectionEntry
from engines.models.model_set import ModelSet
from engines.models.projection_head import save_proxies
from semlink.cache import cache_folder
from semlink.channel import ChannelModel, default_num_pilots
from semlink.errors import ConfigError, ModelSetError
from semlink.files import replaced_file
from semlink.rates import Rate
from trainer.codecs.config import CodecTraining, TrainedCodec
from trainer.codecs.fitting import FittedProjection, fitted_nested, fitted_nested_labels, fitted_projection
from trainer.codecs.objectives import Objective
from trainer.codecs.training_data import TrainingFeatures, training_features
from trainer.codecs.validation import validation_accuracy
from trainer.datasets import open_dataset
from trainer.evaluation.grid import train_all
from trainer.model_set_writer import model_file, set_codec, set_encoder

__all__ = ["TRAINABLE", "CodecOptions", "train_model_set"]

TRAINABLE = ("nested", "nested-labels", "label", "kbsc")
"""Codecs that a model set can hold."""

_LICENCE = "Apache-2.0"


class CodecOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `semlink train codec` asks for besides data and folders.

    Attributes
    ----------
    rates, channel, epochs : of `kbsc` alone; `nested` serves every rate and channel
    loss : of the key network of `nested-labels` and `label`
    objective : what of the features `kbsc` is to keep
    """

    codecs: tuple[str, ...]
    rates: tuple[Rate, ...]
    channel: Literal["awgn", "rayleigh"]
    seed: int
    epochs: int
    precision: Literal["bf16", "fp32"]
    loss: Literal["proxy", "contrastive"] = "proxy"
    objective: Objective = "mse"

    def __post_init__(self) -> None:
        for codec in self.codecs:
            if codec not in TRAINABLE:
                raise ConfigError(f'codec "{codec}" cannot be trained; choose from: {", ".join(TRAINABLE)}')
        if self.objective != "mse" and "kbsc" not in self.codecs:
            raise ConfigError(f"--objective {self.objective} is for kbsc, which --codec does not name")


def train_model_set(
    out: Path,
    options: CodecOptions,
    *,
    data: str,
    model_set: str,
    num_jobs: int,
    runs: Path | None,
    progress: Progress,
) -> ModelSet:
    """Train codecs and write encoder, codecs and manifest to `out`.

    An `out` that is the encoder's own folder gets the codecs added, each in place of one of its name.

    Raises
    ------
    ModelSetError
        If `out` is another model set, or cannot be made; nothing is trained then.
    """
    source = ModelSet.find(model_set)
    is_own = out.is_dir() and out.samefile(source.folder)
    if not is_own and (out / "manifest.json").exists():
        raise ModelSetError(f"{out}: is a model set already; name a new folder, or the encoder's own")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelSetError(f"{out}: {error.strerror}") from None
    encoder = ImageEncoder(source, num_threads=num_jobs)
    training_data = training_features(open_dataset(data, progress=progress), encoder, progress, whole=True)
    folder = runs or cache_folder("runs")
    # All of it is trained before any of it is placed: what fails in training leaves the set as it was.
    placings = [_trained(codec, options, training_data, folder, num_jobs, progress) for codec in options.codecs]
    try:
        if not is_own:
            _copy(source.encoder_path, out / source.manifest.encoder.graph.file)
            set_encoder(out, source.manifest.encoder)
        for place in placings:
            set_codec(out, place(out))
    except OSError as error:
        raise ModelSetError(f"{out}: cannot be written: {error.strerror}; train again to mend it") from None
    return ModelSet(out)


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that a reader sees the old one or the new one, never half of one."""
    with replaced_file(target) as temporary:
        shutil.copyfile(source, temporary)


def _trained(
    codec: str,
    options: CodecOptions,
    training_data: TrainingFeatures,
    runs: Path,
    num_jobs: int,
    progress: Progress,
) -> Callable[[Path], CodecEntry]:
    """Train one codec; give what places its files in a folder and describes them."""
    if codec == "kbsc":
        return _trained_kbsc(options, training_data, runs, num_jobs, progress)
    task = progress.add_task(f"fitting {codec}", total=1)
    projection: FittedProjection | None = None
    if codec == "nested":
        codebook = fitted_nested(options.seed, training_data, runs)
    else:
        projection = fitted_projection(
            options.seed, training_data, runs, precision=options.precision, loss=options.loss
        )
        codebook = fitted_nested_labels(options.seed, training_data, projection, runs, label_alone=codec == "label")
    measured = validation_accuracy(codebook, training_data, projection, seed=options.seed)
    progress.advance(task)
    source = f"{training_data.source}; {'labels' if projection else 'no labels'}, no channel, seed {options.seed}"
    return partial(_place_nested, codec, codebook, projection, source, measured)


def _place_nested(
    name: str,
    codebook: Codebook,
    projection: FittedProjection | None,
    source: str,
    measured: dict[str, float],
    out: Path,
) -> NestedCodecEntry:
    codebook_path = out / f"{name}.codebook.npz"
    with replaced_file(codebook_path) as temporary:
        temporary.write_bytes(codebook.to_bytes())
    key_entry = None
    if projection is not None:
        network_path, proxies_path = out / f"{name}.keys.onnx", out / f"{name}.proxies.npz"
        _copy(projection.graph_path, network_path)
        with replaced_file(proxies_path) as temporary:
            temporary.write_bytes(save_proxies(projection.model.categories, projection.model.proxies))
        key_entry = ProjectionEntry(
            model_file(network_path), model_file(proxies_path), projection.model.proxies.shape[1]
        )
    return NestedCodecEntry(
        name=name,
        codebook=model_file(codebook_path),
        licence=_LICENCE,
        training_data=source,
        projection=key_entry,
        measured=measured,
    )


def _trained_kbsc(
    options: CodecOptions, training_data: TrainingFeatures, runs: Path, num_jobs: int, progress: Progress
) -> Callable[[Path], PerRateCodecEntry]:
    trainings = [
        CodecTraining(
            codec="kbsc",
            num_symbols=rate.num_symbols,
            channel=options.channel,
            seed=options.seed,
            num_pilots=default_num_pilots(ChannelModel(options.channel)),
            epochs=options.epochs,
            precision=options.precision,
            loss=options.objective,
        )
        for rate in options.rates
    ]
    trained = train_all(trainings, training_data, runs, num_jobs=num_jobs, progress=progress)
    source = f"{training_data.source}; {options.channel}, {options.objective}, seed {options.seed}"
    return lambda out: PerRateCodecEntry(
        name="kbsc", rates=[_place_rate(codec, out) for codec in trained], licence=_LICENCE, training_data=source
    )


def _place_rate(codec: TrainedCodec, out: Path) -> CodecRateEntry:
    files = {}
    for half, path in (("encoder", codec.encoder_path), ("decoder", codec.decoder_path)):
        name = f"kbsc-{codec.rate.num_symbols}.{half}.onnx"
        _copy(path, out / name)
        files[half] = model_file(out / name)
    measured = {"validation_accuracy": max(codec.validation_accuracy), "best_epoch": float(codec.best_epoch)}
    return CodecRateEntry(codec.rate.num_symbols, files["encoder"], files["decoder"], measured)
