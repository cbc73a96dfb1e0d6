"""manifest.json: what a knowledge base is, and with which encoder its vectors were made."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_rx.kb.index import INDEX_KIND
from engines.models.manifest import manifest_format
from semlink.errors import KnowledgeBaseError
from semlink.files import is_plain_name, write_json

__all__ = [
    "IMAGES_FOLDER",
    "INDEX_FILE",
    "MANIFEST_FILE",
    "MANIFEST_FORMAT",
    "RECORDS_FILE",
    "Manifest",
    "ProjectedVectorsEntry",
    "read_manifest",
    "write_manifest",
]

MANIFEST_FILE = "manifest.json"
INDEX_FILE = "index.faiss"
RECORDS_FILE = "records.sqlite"
IMAGES_FOLDER = "images"

MANIFEST_FORMAT = 1


class ProjectedVectorsEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """File of the entries' projected vectors for one codec.

    Attributes
    ----------
    codec : name of the codec, for people
    fingerprint : identity of the projection head, see `engines.models.codecs.NestedCodec.projection_fingerprint`
    """

    codec: str
    fingerprint: str
    projection_dim: int = msgspec.field(name="key_dim")
    file: str
    sha256: str

    def __post_init__(self) -> None:
        if not is_plain_name(self.file):
            raise ValueError(f"a file of projected vectors must be a plain name beside the manifest, got {self.file!r}")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content of manifest.json.

    Attributes
    ----------
    encoder_fingerprint : SHA-256 of the image encoder's graph, in hex
    created : ISO 8601, UTC
    index_sha256, records_sha256 : of the two files, in hex
    projected : files of projected vectors, see `edge_rx.kb.project`; `keys` in the file
    """

    format: int = MANIFEST_FORMAT
    encoder_name: str
    encoder_fingerprint: str
    feature_dim: int
    num_entries: int
    index_kind: str = INDEX_KIND
    created: str
    index_sha256: str
    records_sha256: str
    projected: list[ProjectedVectorsEntry] = msgspec.field(default_factory=list, name="keys")


def read_manifest(folder: Path) -> Manifest:
    """Read a knowledge base's manifest.

    Raises
    ------
    KnowledgeBaseError
        If there is none, or it is not one that this version reads.
    """
    path = folder / MANIFEST_FILE
    try:
        data = path.read_bytes()
        found = manifest_format(data)
        if found != MANIFEST_FORMAT:
            raise KnowledgeBaseError(
                f"{folder}: knowledge base format {found}, this version reads {MANIFEST_FORMAT}; update semlink"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except OSError as error:
        raise KnowledgeBaseError(
            f"{folder}: not a knowledge base: {MANIFEST_FILE}: {error.strerror}; make one with: semlink kb build"
        ) from None
    except msgspec.MsgspecError as error:
        raise KnowledgeBaseError(f"{path}: damaged, build the knowledge base again: {error}") from None
    if manifest.index_kind != INDEX_KIND:
        raise KnowledgeBaseError(
            f"{folder}: index {manifest.index_kind}, this version reads {INDEX_KIND}; build the knowledge base again"
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a knowledge base's manifest, atomically and durably."""
    write_json(folder / MANIFEST_FILE, manifest, durable=True)
