"""Write model sets: the manifest with its encoder, and codecs added to it later."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines.modelset import MANIFEST_FORMAT, CodecEntry, EncoderEntry, GraphFile, Manifest, ModelSet, file_sha256
from semlink.errors import ModelSetError
from semlink.files import replaced_file
from semlink.provenance import now_utc

__all__ = ["graph_file", "kept_codec", "set_codec", "set_encoder", "write_manifest"]


def graph_file(path: Path) -> GraphFile:
    """A manifest's entry for a graph that is in its place."""
    return GraphFile(path.name, file_sha256(path))


def kept_codec(folder: Path, encoder: GraphFile) -> CodecEntry | None:
    """The codec that a set has and keeps with this encoder; None if it has none, or is no set yet.

    Raises
    ------
    ModelSetError
        If the codec was trained for another encoder's features.
    """
    if not (folder / "manifest.json").exists():
        return None
    existing = ModelSet(folder).manifest
    if existing.codec is not None and existing.encoder.graph.sha256 != encoder.sha256:
        raise ModelSetError(f"{folder}: holds codecs trained for another encoder; give another folder")
    return existing.codec


def set_encoder(folder: Path, encoder: EncoderEntry) -> Manifest:
    """Make `folder` a model set around an encoder, or describe anew the encoder that it has.

    Raises
    ------
    ModelSetError
        If the set holds codecs, which were trained for another encoder's features.
    """
    codec = kept_codec(folder, encoder.graph)
    manifest = Manifest(MANIFEST_FORMAT, folder.resolve().name, now_utc(), encoder, codec)
    write_manifest(folder, manifest)
    return manifest


def set_codec(folder: Path, codec: CodecEntry) -> Manifest:
    """Give a model set a codec, or another one for the one that it had.

    Raises
    ------
    ModelSetError
        If `folder` is no model set, or a rate's file is not there or not the one described.
    """
    model_set = ModelSet(folder)
    for rate in codec.rates:
        for graph in (rate.encoder, rate.decoder):
            path = folder / graph.file
            if not path.is_file() or file_sha256(path) != graph.sha256:
                raise ModelSetError(f"{path}: not the file that the codec's entry describes; write the graph first")
    manifest = msgspec.structs.replace(model_set.manifest, codec=codec, created=now_utc())
    write_manifest(folder, manifest)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json so that a reader sees the old one or the new one, never half of one."""
    try:
        with replaced_file(folder / "manifest.json", durable=True) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    except OSError as error:
        raise ModelSetError(f"{folder}: manifest.json cannot be written: {error.strerror}") from None
