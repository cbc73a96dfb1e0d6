"""Write fitted models into a model set's folder: files, and the manifest's entry for them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from engines.models.manifest import (
    CodecEntry,
    CodecRateEntry,
    ModelFile,
    NestedCodecEntry,
    PerRateCodecEntry,
    ProjectionEntry,
)
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
    """Write a codec's models to a folder, beside the files of earlier models.

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


def _store(content: bytes, out: Path, name: str, kind: str) -> ModelFile:
    """Write a file under a name that its content decides.

    No file that an earlier manifest names is changed, so that a process which has read that manifest still finds its
    model, and the set is whole at every moment.
    """
    path = out / f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.{kind}"
    with replaced_file(path, durable=True) as temporary:
        temporary.write_bytes(content)
    return model_file(path)


def _save_nested(
    name: str, model: NestedModel, out: Path, *, training_data: str, measured: dict[str, float]
) -> NestedCodecEntry:
    codebook = _store(model.codebook.to_bytes(), out, name, "codebook.npz")
    projection = None
    if model.projection is not None and model.projection_graph is not None:
        proxies = save_proxies(model.projection.categories, model.projection.proxies)
        projection = ProjectionEntry(
            _store(model.projection_graph.read_bytes(), out, name, "projection.onnx"),
            _store(proxies, out, name, "proxies.npz"),
            model.projection.proxies.shape[1],
        )
    return NestedCodecEntry(
        name=name,
        codebook=codebook,
        licence=_LICENCE,
        training_data=training_data,
        projection=projection,
        measured=measured,
    )


def _save_run(name: str, codec: TrainedCodec, out: Path) -> CodecRateEntry:
    files = {}
    for half, path in (("encoder", codec.encoder_path), ("decoder", codec.decoder_path)):
        files[half] = _store(path.read_bytes(), out, f"{name}-{codec.rate.num_symbols}", f"{half}.onnx")
    measured = {"validation_accuracy": max(codec.validation_accuracy), "best_epoch": float(codec.best_epoch)}
    return CodecRateEntry(codec.rate.num_symbols, files["encoder"], files["decoder"], measured)
