"""manifest.json: what a knowledge base is, and with which encoder its vectors were made."""

from __future__ import annotations

import hashlib
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
    "CodebookEntry",
    "Manifest",
    "ProjectedVectorsEntry",
    "read_manifest",
    "write_manifest",
]

MANIFEST_FILE = "manifest.json"
INDEX_FILE = "index.faiss"
RECORDS_FILE = "records.sqlite"
IMAGES_FOLDER = "images"

MANIFEST_FORMAT = 2
"""Format that is written. Format 1 is read too: it lists no codebooks."""


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


class CodebookEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """File of a codebook of `adapted`, see `engines.models.knowledge_base_codebook`.

    Attributes
    ----------
    sha256 : of the file, in hex, and so the codebook's identity
    made_at : ISO 8601, UTC
    num_cells, num_labelled_cells : of all cells, and of those that are of a label; see
        `engines.models.knowledge_base_codebook.KnowledgeBaseCodebook.num_labelled_cells`
    digital_power_share : share of the power that a codeword has at 64 symbols
    """

    file: str
    sha256: str
    made_at: str
    num_bytes: int
    num_cells: int
    num_labelled_cells: int
    digital_power_share: float

    def __post_init__(self) -> None:
        if not is_plain_name(self.file):
            raise ValueError(f"a codebook's file must be a plain name beside the manifest, got {self.file!r}")

    @property
    def kind(self) -> str:
        """What its cells are, for people."""
        if not self.num_labelled_cells:
            return "k-means cells"
        return "labels" if self.num_labelled_cells == self.num_cells else "labels and k-means cells"

    @property
    def description(self) -> str:
        """Its identity, age, cells, size and power share, on one line for people."""
        return (
            f"{self.sha256[:12]} of {self.made_at}: {self.num_cells} {self.kind}, {self.num_bytes / 1e3:.0f} KB,"
            f" digital power share {self.digital_power_share:g}"
        )


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content of manifest.json.

    Attributes
    ----------
    encoder_fingerprint : SHA-256 of the image encoder's graph, in hex
    created : ISO 8601, UTC
    index_sha256, records_sha256 : of the two files, in hex
    projected : files of projected vectors, see `edge_rx.kb.project`; `keys` in the file
    codebooks : files of codebooks, the newest first, which is that of the entries as they are
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
    codebooks: list[CodebookEntry] = msgspec.field(default_factory=list)

    @property
    def fingerprint(self) -> bytes:
        """Identity of the numbered entries: 32 bytes that change with any vector or its position."""
        return hashlib.sha256(f"semlink kb\n{self.index_sha256}".encode()).digest()


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
        if found > MANIFEST_FORMAT:
            raise KnowledgeBaseError(
                f"{folder}: knowledge base format {found}, this version reads up to {MANIFEST_FORMAT}; update semlink"
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
    """Write a knowledge base's manifest in the current format, atomically and durably."""
    current = msgspec.structs.replace(manifest, format=MANIFEST_FORMAT)
    write_json(folder / MANIFEST_FILE, current, durable=True)
