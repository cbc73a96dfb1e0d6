"""Codebooks in the folder of a knowledge base: the newest, and earlier ones that transmitters may still have.

The manifest lists them. A codebook's file is named by its content, so that two of them never have one name.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from typing_extensions import Self

from edge_rx.kb.manifest import CodebookEntry, read_manifest, write_manifest
from engines.models.knowledge_base_codebook import MAX_CODEBOOK_BYTES, KnowledgeBaseCodebook
from semlink.errors import KnowledgeBaseError, ModelSetError
from semlink.files import replaced_file
from semlink.machine import now_utc
from semlink.rates import parse_rate

__all__ = ["NUM_EARLIER_CODEBOOKS", "CodebookFile", "add_codebook", "keep_codebooks", "usable_codebooks"]

NUM_EARLIER_CODEBOOKS = 3
"""Earlier codebooks that stay; with the newest, at most `semlink.receiver_report.MAX_CODEBOOKS`."""

_LISTED_RATE = parse_rate("64")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CodebookFile:
    """The bytes of a codebook that the manifest of a knowledge base lists, not read as a codebook yet.

    Attributes
    ----------
    folder : of the knowledge base
    content : at most one byte more than a codebook has; None if the file could not be read
    problem : why not, "" otherwise
    """

    folder: Path
    entry: CodebookEntry
    content: bytes | None
    problem: str = ""

    @classmethod
    def read(cls, folder: Path, entry: CodebookEntry) -> Self:
        """Read the bytes, whatever they are."""
        try:
            with (folder / entry.file).open("rb") as file:
                return cls(folder, entry, file.read(MAX_CODEBOOK_BYTES + 1))
        except OSError as error:
            return cls(folder, entry, None, problem=error.strerror or str(error))

    def codebook(self, *, encoder_fingerprint: str) -> KnowledgeBaseCodebook:
        """Read the bytes as a codebook.

        Parameters
        ----------
        encoder_fingerprint : of the image encoder that the knowledge base was built with, in hex

        Raises
        ------
        KnowledgeBaseError
            If the file was missing or is altered, holds no codebook, or one of another encoder.
        """
        path = self.folder / self.entry.file
        fix = f"make a new one with: semlink kb make-codebook {self.folder}"
        if self.content is None:
            raise KnowledgeBaseError(f"codebook damaged: {path}: {self.problem}; {fix}")
        try:
            codebook = KnowledgeBaseCodebook.read(self.content, source=str(path))
            codebook.require_encoder(encoder_fingerprint, source=self.entry.file)
        except ModelSetError as error:
            raise KnowledgeBaseError(f"codebook damaged: {error}; {fix}") from None
        if codebook.sha256 != self.entry.sha256:
            raise KnowledgeBaseError(f"{path}: sha256 is not the manifest's; {fix}")
        return codebook


def usable_codebooks(files: Sequence[CodebookFile], *, encoder_fingerprint: str) -> list[KnowledgeBaseCodebook]:
    """Codebooks of a knowledge base; an earlier one that is damaged is left out, and the log names it.

    Parameters
    ----------
    files : the newest first

    Raises
    ------
    KnowledgeBaseError
        If the newest one is damaged.
    """
    codebooks = [file.codebook(encoder_fingerprint=encoder_fingerprint) for file in files[:1]]
    for file in files[1:]:
        try:
            codebooks.append(file.codebook(encoder_fingerprint=encoder_fingerprint))
        except KnowledgeBaseError as error:
            _log.warning("frames of the earlier codebook %s are not decoded: %s", file.entry.sha256[:12], error)
    return codebooks


def add_codebook(folder: Path, codebook: KnowledgeBaseCodebook) -> CodebookEntry:
    """Make a codebook the newest of a knowledge base, whose folder the caller has locked.

    The file is written first, then the manifest that names it; files that it no longer names are removed last. Earlier
    codebooks that are damaged are removed too.

    Raises
    ------
    KnowledgeBaseError
        If the folder is no knowledge base.
    ModelSetError
        If the codebook is of another image encoder.
    OSError
        If the folder cannot be written.
    """
    manifest = read_manifest(folder)
    codebook.require_encoder(manifest.encoder_fingerprint, source="codebook")
    newest = _write(folder, codebook)
    _log.info(
        "labels are %s in the codebook, which has %s", "used" if newest.num_labelled_cells else "not used", newest.kind
    )
    earlier = [
        entry
        for entry in manifest.codebooks
        if entry.sha256 != newest.sha256 and _is_whole(folder, entry, manifest.encoder_fingerprint)
    ]
    entries = [newest, *earlier[:NUM_EARLIER_CODEBOOKS]]
    write_manifest(folder, msgspec.structs.replace(manifest, codebooks=entries))
    for name in {entry.file for entry in manifest.codebooks} - {entry.file for entry in entries}:
        (folder / name).unlink(missing_ok=True)
    return newest


def keep_codebooks(old: Path, new: Path) -> None:
    """Copy the codebooks of a knowledge base to the one that replaces it, behind its own.

    Nothing is copied if the new one has none of its own, or the old one is damaged or of another image encoder. The
    caller has locked both folders.

    Raises
    ------
    OSError
        If the new folder cannot be written.
    """
    manifest = read_manifest(new)
    try:
        replaced = read_manifest(old)
    except KnowledgeBaseError as error:
        _log.warning("its earlier codebooks are not kept: %s", error)
        return
    if not manifest.codebooks or replaced.encoder_fingerprint != manifest.encoder_fingerprint:
        return
    names = {entry.file for entry in manifest.codebooks}
    kept = [
        entry
        for entry in replaced.codebooks
        if entry.file not in names and _is_whole(old, entry, manifest.encoder_fingerprint)
    ][:NUM_EARLIER_CODEBOOKS]
    for entry in kept:
        with replaced_file(new / entry.file, durable=True) as temporary:
            temporary.write_bytes((old / entry.file).read_bytes())
    write_manifest(new, msgspec.structs.replace(manifest, codebooks=[*manifest.codebooks, *kept]))


def _write(folder: Path, codebook: KnowledgeBaseCodebook) -> CodebookEntry:
    entry = CodebookEntry(
        file=f"codebook-{codebook.sha256[:16]}.npz",
        sha256=codebook.sha256,
        made_at=now_utc(),
        num_bytes=len(codebook.content),
        num_cells=codebook.code.num_cells,
        num_labelled_cells=codebook.num_labelled_cells,
        digital_power_share=round(float(codebook.digital_power_share[_LISTED_RATE.latent_dim - 1]), 4),
    )
    with replaced_file(folder / entry.file, durable=True) as temporary:
        temporary.write_bytes(codebook.content)
    return entry


def _is_whole(folder: Path, entry: CodebookEntry, encoder_fingerprint: str) -> bool:
    try:
        CodebookFile.read(folder, entry).codebook(encoder_fingerprint=encoder_fingerprint)
    except KnowledgeBaseError as error:
        _log.warning("an earlier codebook is not kept: %s", error)
        return False
    return True
