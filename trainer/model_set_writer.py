"""Write model sets: an encoder with its manifest, and codecs added to it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import onnx.helper

from engines.models.manifest import MANIFEST_FORMAT, CodecEntry, EncoderEntry, Manifest, ModelFile
from engines.models.model_set import ModelSet
from engines.onnx_model import load_onnx
from semlink.errors import ModelSetError
from semlink.files import file_sha256, replaced_file, write_json
from semlink.image import Preprocessing
from semlink.machine import now_utc

__all__ = ["model_file", "set_codec", "set_encoder", "write_encoder", "write_manifest"]

_ENCODER_FILE = "encoder.onnx"


def model_file(path: Path) -> ModelFile:
    """Describe a file of a model set for the manifest."""
    return ModelFile(path.name, file_sha256(path))


def write_encoder(
    folder: Path,
    graph: bytes,
    *,
    name: str,
    feature_dim: int,
    preprocessing: Preprocessing,
    licence: str,
    training_data: str,
) -> ModelSet:
    """Write encoder.onnx and manifest.json; the folder is created if it does not exist.

    A filter other than bicubic is written into the graph's metadata too: the hash of the graph is the identity of the
    features, which the filter changes.

    Parameters
    ----------
    graph : serialised ONNX model from `image` (batch, size, size, 3) uint8 to `features` (batch, feature_dim) float32
    name, licence, training_data : one line each, for the manifest

    Raises
    ------
    ModelSetError
        If the folder holds codecs that were trained for another encoder, or cannot be written; nothing has changed
        then.
    """
    path = folder / _ENCODER_FILE
    if preprocessing.interpolation != Preprocessing(1).interpolation:
        graph = _with_metadata(graph, "interpolation", preprocessing.interpolation)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replaced_file(path, durable=True) as temporary:
            temporary.write_bytes(graph)
            _codecs_for(folder, model_file(temporary))
    except OSError as error:
        raise ModelSetError(
            f"{path}: cannot be written: {error.strerror or error}; free some space or name another folder"
        ) from None
    # After the graph, so that no manifest names a file that does not exist.
    entry = EncoderEntry(name, model_file(path), feature_dim, preprocessing, licence, training_data)
    set_encoder(folder, entry)
    return ModelSet(folder)


def set_encoder(folder: Path, encoder: EncoderEntry) -> Manifest:
    """Write the manifest of a folder that holds an encoder's graph; its codecs are kept if it is the same graph.

    Raises
    ------
    ModelSetError
        If the folder holds codecs that were trained for another encoder.
    """
    codecs = _codecs_for(folder, encoder.graph)
    manifest = Manifest(MANIFEST_FORMAT, folder.resolve().name, now_utc(), encoder, codecs)
    write_manifest(folder, manifest)
    return manifest


def set_codec(folder: Path, codec: CodecEntry) -> Manifest:
    """Add a codec to a model set, or replace the codec of its name; a new codec becomes the last.

    Raises
    ------
    ModelSetError
        If `folder` is no model set, or a file of the codec is missing or has another hash.
    """
    model_set = ModelSet(folder)
    for file in codec.files:
        path = folder / file.file
        if not path.is_file() or file_sha256(path) != file.sha256:
            raise ModelSetError(f"{path}: not the file that the codec's entry describes; write the file first")
    codecs = {held.name: held for held in model_set.manifest.codecs} | {codec.name: codec}
    manifest = msgspec.structs.replace(model_set.manifest, codecs=list(codecs.values()), created=now_utc())
    write_manifest(folder, manifest)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json as a whole: a reader finds the old one or the new one."""
    try:
        write_json(folder / "manifest.json", manifest, durable=True)
    except OSError as error:
        raise ModelSetError(f"{folder}: manifest.json cannot be written: {error.strerror}") from None


def _with_metadata(graph: bytes, key: str, value: str) -> bytes:
    model = load_onnx(graph)
    onnx.helper.set_model_props(model, {key: value})
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def _codecs_for(folder: Path, encoder: ModelFile) -> list[CodecEntry]:
    """Codecs of a folder, none if it is no model set; ModelSetError if they were trained for another encoder."""
    if not (folder / "manifest.json").exists():
        return []
    existing = ModelSet(folder).manifest
    if existing.codecs and existing.encoder.graph.sha256 != encoder.sha256:
        raise ModelSetError(f"{folder}: holds codecs trained for another encoder; name another folder")
    return existing.codecs
