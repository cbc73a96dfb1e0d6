"""Write model sets: the manifest with its encoder, and codecs added to it later."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines.models.manifest import MANIFEST_FORMAT, CodecEntry, EncoderEntry, Manifest, ModelFile
from engines.models.model_set import ModelSet
from semlink.errors import ModelSetError
from semlink.files import file_sha256, replaced_file
from semlink.machine import now_utc

__all__ = ["kept_codecs", "model_file", "set_codec", "set_encoder", "write_manifest"]


def model_file(path: Path) -> ModelFile:
    """A manifest's entry for a file that is in its place."""
    return ModelFile(path.name, file_sha256(path))


def kept_codecs(folder: Path, encoder: ModelFile) -> list[CodecEntry]:
    """The codecs that a set has and keeps with this encoder; none if it is no set yet.

    Raises
    ------
    ModelSetError
        If they were trained for another encoder's features.
    """
    if not (folder / "manifest.json").exists():
        return []
    existing = ModelSet(folder).manifest
    if existing.codecs and existing.encoder.graph.sha256 != encoder.sha256:
        raise ModelSetError(f"{folder}: holds codecs trained for another encoder; give another folder")
    return existing.codecs


def set_encoder(folder: Path, encoder: EncoderEntry) -> Manifest:
    """Make `folder` a model set around an encoder, or update the description of its encoder.

    Raises
    ------
    ModelSetError
        If the set holds codecs, which were trained for another encoder's features.
    """
    codecs = kept_codecs(folder, encoder.graph)
    manifest = Manifest(MANIFEST_FORMAT, folder.resolve().name, now_utc(), encoder, codecs)
    write_manifest(folder, manifest)
    return manifest


def set_codec(folder: Path, codec: CodecEntry) -> Manifest:
    """Give a model set a codec, in place of the one of that name if it has one; a new one comes last.

    Raises
    ------
    ModelSetError
        If `folder` is no model set, or a file is not there or not the one described.
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
    """Write manifest.json so that a reader sees the old one or the new one, never half of one."""
    try:
        with replaced_file(folder / "manifest.json", durable=True) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    except OSError as error:
        raise ModelSetError(f"{folder}: manifest.json cannot be written: {error.strerror}") from None
