"""Keys for a knowledge base: its entries as a codec with a key network sees them.

Made from the vectors and labels that the knowledge base has; its images are not touched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_rx.kb.index import FlatIndex
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.manifest import KeysEntry, write_manifest
from edge_rx.kb.storage import lock_folder
from engines.codecs import Codec, NestedCodec
from engines.manifest import file_sha256
from engines.modelset import ModelSet
from semlink.errors import KnowledgeBaseError, ModelSetError

__all__ = ["add_keys", "rekey"]


def rekey(folder: Path, model_set: ModelSet, *, num_threads: int = 1) -> list[str]:
    """Give a knowledge base the keys of a model set's codecs, in place of those that it had of them.

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
    lock = _lock(folder)
    try:
        with KnowledgeBase.open(
            folder, model_set.encoder_fingerprint, encoder_name=model_set.manifest.encoder.name
        ) as knowledge_base:
            names = add_keys(knowledge_base, model_set.codecs, num_threads=num_threads)
    except OSError as error:
        raise KnowledgeBaseError(f"{folder}: cannot be written, its keys are as they were: {error.strerror}") from None
    finally:
        os.close(lock)
    if not names:
        raise ModelSetError(
            f'model set "{model_set.name}" has no codec with keys, so its knowledge bases need none;'
            " train one with: semlink train codec --codec nested-labels"
        )
    return names


def add_keys(knowledge_base: KnowledgeBase, codecs: Sequence[Codec], *, num_threads: int = 1) -> list[str]:
    """Write keys for every codec that has a key network, then the manifest that names them.

    Returns
    -------
    codecs : their names
    """
    manifest = knowledge_base.manifest
    features = knowledge_base.features()
    labels = [record.label for record in knowledge_base.records()]
    entries = {entry.fingerprint: entry for entry in manifest.keys}
    names = []
    for codec in codecs:
        model = codec.load_keys(num_threads=num_threads) if isinstance(codec, NestedCodec) else None
        if model is None or not isinstance(codec, NestedCodec):
            continue
        keys = FlatIndex(model.proxies.shape[1])
        keys.add(model.of_entries(features, labels))
        fingerprint = codec.keys_fingerprint
        path = knowledge_base.folder / f"keys-{fingerprint[:16]}.faiss"
        keys.save(path)
        entries[fingerprint] = KeysEntry(
            codec=codec.name,
            fingerprint=fingerprint,
            key_dim=keys.feature_dim,
            file=path.name,
            sha256=file_sha256(path),
        )
        names.append(codec.name)
    if names:
        write_manifest(knowledge_base.folder, msgspec.structs.replace(manifest, keys=list(entries.values())))
    return names


def _lock(folder: Path) -> int:
    """Lock a knowledge base, and be sure that it was not replaced while another held the lock."""
    while True:
        try:
            descriptor = lock_folder(folder)
        except OSError as error:
            raise KnowledgeBaseError(f"{folder}: not a knowledge base: {error.strerror}") from None
        if folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        os.close(descriptor)
