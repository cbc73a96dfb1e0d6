"""Keys for a knowledge base: its entries as a codec with a key network sees them.

Made from the vectors and labels that the knowledge base has; its images are not touched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_rx.kb.index import FlatIndex
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.manifest import ProjectedVectorsEntry, write_manifest
from edge_rx.kb.storage import lock_whatever_is_there
from engines.models.codecs import Codec, NestedCodec
from engines.models.model_set import ModelSet
from engines.models.projection_head import ProjectionHead
from semlink.errors import KnowledgeBaseError, ModelSetError
from semlink.files import file_sha256

__all__ = ["CodecProjection", "add_keys", "load_keys", "rekey"]


@dataclass(frozen=True, eq=False)
class CodecProjection:
    """A codec's key network, loaded."""

    codec: str
    fingerprint: str
    model: ProjectionHead


def load_keys(codecs: Sequence[Codec], *, num_threads: int = 1) -> list[CodecProjection]:
    """Load the key networks of those codecs that have one."""
    loaded = []
    for codec in codecs:
        model = codec.load_keys(num_threads=num_threads) if isinstance(codec, NestedCodec) else None
        if model is not None and isinstance(codec, NestedCodec):
            loaded.append(CodecProjection(codec.name, codec.projection_fingerprint, model))
    return loaded


def rekey(folder: Path, model_set: ModelSet, *, num_threads: int = 1) -> list[str]:
    """Give a knowledge base the keys of a model set's codecs, in place of those of codecs of that name.

    Returns
    -------
    codecs : names of those that have keys

    Raises
    ------
    KnowledgeBaseError
        If it was built with another encoder, is damaged, or cannot be written; it is then as it was.
    ModelSetError
        If no codec of the set has keys.
    """
    keys = load_keys(model_set.codecs, num_threads=num_threads)
    if not keys:
        raise ModelSetError(
            f'model set "{model_set.name}" has no codec with keys, so its knowledge bases need none;'
            " train one with: semlink train codec --codec nested-labels"
        )
    try:
        lock = lock_whatever_is_there(folder)
    except OSError as error:
        raise KnowledgeBaseError(f"{folder}: not a knowledge base: {error.strerror}") from None
    try:
        with KnowledgeBase.open(
            folder, model_set.encoder_fingerprint, encoder_name=model_set.manifest.encoder.name
        ) as knowledge_base:
            add_keys(knowledge_base, keys)
    except OSError as error:
        raise KnowledgeBaseError(f"{folder}: cannot be written, its keys are as they were: {error.strerror}") from None
    finally:
        os.close(lock)
    return [each.codec for each in keys]


def add_keys(knowledge_base: KnowledgeBase, codecs: Sequence[CodecProjection]) -> None:
    """Write keys, then the manifest that names them, then remove files that it names no more."""
    if not codecs:
        return
    manifest, folder = knowledge_base.manifest, knowledge_base.folder
    features = knowledge_base.features()
    labels = [record.label for record in knowledge_base.records()]
    entries = {entry.codec: entry for entry in manifest.keys}
    for codec in codecs:
        keys = FlatIndex(codec.model.proxies.shape[1])
        keys.add(codec.model.project_entries(features, labels))
        path = folder / f"keys-{codec.fingerprint[:16]}.faiss"
        keys.save(path)
        entries[codec.codec] = ProjectedVectorsEntry(
            codec=codec.codec,
            fingerprint=codec.fingerprint,
            projection_dim=keys.feature_dim,
            file=path.name,
            sha256=file_sha256(path),
        )
    write_manifest(folder, msgspec.structs.replace(manifest, keys=list(entries.values())))
    for name in {entry.file for entry in manifest.keys} - {entry.file for entry in entries.values()}:
        (folder / name).unlink(missing_ok=True)
