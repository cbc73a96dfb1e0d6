"""Write fitted models into a model set's folder: files, and the manifest's entry for them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from engines.models.manifest import CodecEntry, CodecRateEntry, NestedCodecEntry, PerRateCodecEntry, ProjectionEntry
from engines.models.projection_head import save_proxies
from semlink.errors import ConfigError
from semlink.files import replaced_file
from trainer.codecs.config import TrainedCodec
from trainer.codecs.nested import NestedModel
from trainer.codecs.spec import FittedModel
from trainer.model_set_writer import model_file

__all__ = ["copy_file", "save_codec"]

_LICENCE = "Apache-2.0"


def copy_file(source: Path, target: Path) -> None:
    """Copy a file atomically."""
    with replaced_file(target) as temporary:
        shutil.copyfile(source, temporary)


def save_codec(
    name: str, fitted: Sequence[FittedModel], out: Path, *, training_data: str, measured: dict[str, float]
) -> CodecEntry:
    """Write a codec's models to a folder.

    Parameters
    ----------
    name : the codec's
    fitted : one nested model, or a training run for each rate
    training_data, measured : for the manifest; `measured` is of a nested model, a run has its own

    Returns
    -------
    entry : what the manifest says of the codec

    Raises
    ------
    ConfigError
        If a model set cannot hold models of this kind.
    """
    models = [model.model for model in fitted]
    if all(isinstance(model, TrainedCodec) for model in models):
        rates = [_save_run(name, model, out) for model in models]
        return PerRateCodecEntry(name=name, rates=rates, licence=_LICENCE, training_data=training_data)
    if len(models) == 1 and isinstance(models[0], NestedModel):
        return _save_nested(name, models[0], out, training_data=training_data, measured=measured)
    kinds = ", ".join(sorted({type(model).__name__ for model in models}))
    raise ConfigError(f"a model set holds one nested model or one training run for each rate, not {kinds} ({name})")


def _save_nested(
    name: str, model: NestedModel, out: Path, *, training_data: str, measured: dict[str, float]
) -> NestedCodecEntry:
    codebook_path = out / f"{name}.codebook.npz"
    with replaced_file(codebook_path) as temporary:
        temporary.write_bytes(model.codebook.to_bytes())
    projection = None
    if model.projection is not None and model.projection_graph is not None:
        network_path, proxies_path = out / f"{name}.keys.onnx", out / f"{name}.proxies.npz"
        copy_file(model.projection_graph, network_path)
        with replaced_file(proxies_path) as temporary:
            temporary.write_bytes(save_proxies(model.projection.categories, model.projection.proxies))
        projection_dim = model.projection.proxies.shape[1]
        projection = ProjectionEntry(model_file(network_path), model_file(proxies_path), projection_dim)
    return NestedCodecEntry(
        name=name,
        codebook=model_file(codebook_path),
        licence=_LICENCE,
        training_data=training_data,
        projection=projection,
        measured=measured,
    )


def _save_run(name: str, codec: TrainedCodec, out: Path) -> CodecRateEntry:
    files = {}
    for half, path in (("encoder", codec.encoder_path), ("decoder", codec.decoder_path)):
        file = out / f"{name}-{codec.rate.num_symbols}.{half}.onnx"
        copy_file(path, file)
        files[half] = model_file(file)
    measured = {"validation_accuracy": max(codec.validation_accuracy), "best_epoch": float(codec.best_epoch)}
    return CodecRateEntry(codec.rate.num_symbols, files["encoder"], files["decoder"], measured)
