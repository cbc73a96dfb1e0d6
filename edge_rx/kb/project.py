"""Projected vectors of a knowledge base: its entries in the space of a codec's projection head.

They are computed from the vectors and labels that the knowledge base has; its images are not read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_rx.kb.codebook_cells import entry_cells
from edge_rx.kb.index import FlatIndex
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.manifest import ProjectedVectorsEntry, write_manifest
from edge_rx.kb.storage import lock_whatever_is_there
from engines.models.codecs import Codec, NestedCodec
from engines.models.entry_codebook import EntryCodebook, LabelChoice
from engines.models.model_set import ModelSet
from engines.models.projection_head import ProjectionHead
from semlink.errors import ConfigError, KnowledgeBaseError, ModelSetError
from semlink.files import file_sha256

__all__ = [
    "CodecProjection",
    "add_projected_vectors",
    "entry_codebook",
    "load_projections",
    "project_knowledge_base",
]


@dataclass(frozen=True, eq=False)
class CodecProjection:
    """A codec's projection head, loaded."""

    codec: str
    fingerprint: str
    model: ProjectionHead


def load_projections(codecs: Sequence[Codec], *, num_threads: int = 1) -> list[CodecProjection]:
    """Load the projection heads of the codecs that have one."""
    loaded = []
    for codec in codecs:
        if not isinstance(codec, NestedCodec):
            continue
        if (model := codec.load_projection_head(num_threads=num_threads)) is not None:
            loaded.append(CodecProjection(codec.name, codec.projection_fingerprint, model))
    return loaded


def project_knowledge_base(folder: Path, model_set: ModelSet, *, num_threads: int = 1) -> list[str]:
    """Add the projected vectors of a model set's codecs, in place of those of codecs of the same name.

    Returns
    -------
    codecs : names of the codecs with a projection head

    Raises
    ------
    KnowledgeBaseError
        If it was built with another encoder, is damaged, or cannot be written; it is then as it was.
    ModelSetError
        If no codec of the set has a projection head.
    """
    projections = load_projections(model_set.codecs, num_threads=num_threads)
    if not projections:
        raise ModelSetError(
            f'model set "{model_set.name}" has no codec with a projection head, so its knowledge bases need none;'
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
            add_projected_vectors(knowledge_base, projections)
    except OSError as error:
        raise KnowledgeBaseError(
            f"{folder}: cannot be written, its projected vectors are unchanged: {error.strerror}"
        ) from None
    finally:
        os.close(lock)
    return [each.codec for each in projections]


def add_projected_vectors(knowledge_base: KnowledgeBase, codecs: Sequence[CodecProjection]) -> None:
    """Write the vectors, then the manifest that names them, then remove files that it no longer names."""
    if not codecs:
        return
    manifest, folder = knowledge_base.manifest, knowledge_base.folder
    features = knowledge_base.features()
    labels = knowledge_base.entry_labels()
    entries = {entry.codec: entry for entry in manifest.projected}
    for codec in codecs:
        vectors = FlatIndex(codec.model.proxies.shape[1])
        vectors.add(codec.model.project_entries(features, labels))
        path = folder / f"projected-{codec.fingerprint[:16]}.faiss"
        vectors.save(path)
        entries[codec.codec] = ProjectedVectorsEntry(
            codec=codec.codec,
            fingerprint=codec.fingerprint,
            projection_dim=vectors.feature_dim,
            file=path.name,
            sha256=file_sha256(path),
        )
    write_manifest(folder, msgspec.structs.replace(manifest, projected=list(entries.values())))
    for name in {entry.file for entry in manifest.projected} - {entry.file for entry in entries.values()}:
        (folder / name).unlink(missing_ok=True)


def entry_codebook(
    folder: Path, model_set: ModelSet, *, codec: str | None = None, decides_label: bool = True
) -> EntryCodebook:
    """The vectors of a knowledge base for a transmitter of `index`.

    Parameters
    ----------
    codec : codec with a projection head, in whose space the nearest entry is found; None for the features' space
    decides_label : whether the transmitter decides an image's label first, by the knowledge base's codebook of
        `adapted`, where that has labels and the nearest entry is found in the features' space

    Raises
    ------
    ConfigError
        If the codec has no projection head.
    KnowledgeBaseError
        If the folder is not a knowledge base of the set's encoder, or lacks the codec's projected vectors.
    """
    with KnowledgeBase.open(
        folder, model_set.encoder_fingerprint, encoder_name=model_set.manifest.encoder.name
    ) as knowledge_base:
        choice = None
        if codec is None:
            space, vectors = model_set.encoder_fingerprint, knowledge_base.features()
            newest = next(iter(knowledge_base.codebooks()), None)
            if decides_label and newest is not None and newest.num_labelled_cells:
                cells = entry_cells(newest, vectors, knowledge_base.entry_labels())
                choice = LabelChoice(newest, cells.answered)
        else:
            chosen = model_set.codec(codec)
            if not isinstance(chosen, NestedCodec) or chosen.entry.projection is None:
                raise ConfigError(f"{codec} encodes features and has no projection head; leave --codec out")
            space = chosen.projection_fingerprint
            vectors = knowledge_base.projected(space)
        return EntryCodebook.of(vectors, knowledge_base.fingerprint, space=space, choice=choice)
