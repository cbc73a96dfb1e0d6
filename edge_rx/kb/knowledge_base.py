"""An opened knowledge base: vectors to search, records and images to answer with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typing_extensions import Self

from edge_rx.kb.approximate import SearchIndex
from edge_rx.kb.codebooks import CodebookFile, usable_codebooks
from edge_rx.kb.gpu_search import GpuSearch
from edge_rx.kb.images import ImageStore
from edge_rx.kb.index import EntryIds, FlatIndex, Vectors
from edge_rx.kb.manifest import IMAGES_FOLDER, INDEX_FILE, RECORDS_FILE, Manifest, read_manifest
from edge_rx.kb.records import Record, RecordTable
from engines.backends.runner import DeviceView
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.closing import Closing
from semlink.errors import KnowledgeBaseError
from semlink.files import file_sha256

__all__ = ["KnowledgeBase", "Neighbour"]

_OPEN_ATTEMPTS = 5
_VERIFY_BLOCK = 65_536
_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Neighbour:
    """An entry near to a query; `score` is their cosine."""

    score: float
    record: Record
    image_path: str


class KnowledgeBase(Closing):
    """A folder that `edge_rx.kb.build` made, open for searching.

        manifest.json    index.faiss    records.sqlite    images/ab/<sha256>.<suffix>    codebook-<sha256>.npz

    Use `open`, and close it, or use it in a with statement.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        index: FlatIndex,
        records: RecordTable,
        codebook_files: Sequence[CodebookFile],
        search_index: SearchIndex,
    ) -> None:
        self.folder, self.manifest, self.search_index = folder, manifest, search_index
        self._index, self._records, self._codebook_files = index, records, codebook_files
        self._images = ImageStore(folder / IMAGES_FOLDER)

    @classmethod
    def open(
        cls,
        folder: Path,
        encoder_fingerprint: str | None = None,
        *,
        encoder_name: str = "the model set's encoder",
        num_threads: int = 1,
        gpu: GpuSearch | None = None,
        search_index: SearchIndex = SearchIndex.FLAT,
    ) -> Self:
        """Open a knowledge base.

        The sizes of files are checked here; `verify` reads and checks their contents. If a build replaces the folder
        meanwhile, the new knowledge base is opened: never the vectors of one and the records or codebooks of the other.

        Parameters
        ----------
        encoder_fingerprint : fingerprint of the queries' encoder, see
            `engines.models.model_set.ModelSet.encoder_fingerprint`; None to open a knowledge base
            without searching it
        encoder_name : name of that encoder in errors
        num_threads : CPU threads of one search
        gpu : GPU that searches; None for the CPU
        search_index : index of features

        Raises
        ------
        KnowledgeBaseError
            If the folder is none, is damaged, was built with another encoder, or is replaced
            faster than it can be read.
        MissingDependencyError
            If faiss is not installed.
        """
        for _ in range(_OPEN_ATTEMPTS):
            manifest = read_manifest(folder)
            if encoder_fingerprint not in (None, manifest.encoder_fingerprint):
                raise KnowledgeBaseError(
                    f"{folder}: built with encoder {manifest.encoder_name} ({manifest.encoder_fingerprint[:12]}), but"
                    f" queries come from {encoder_name} ({str(encoder_fingerprint)[:12]}); give the --model-set that it"
                    " was built with, or build it again with this one: semlink kb build FOLDER --out KB --model-set ..."
                )
            try:
                knowledge_base = cls._load(folder, manifest, num_threads, gpu, search_index)
            except KnowledgeBaseError:
                if read_manifest(folder) == manifest:
                    raise
                continue
            if read_manifest(folder) == manifest:
                return knowledge_base
            knowledge_base.close()
        raise KnowledgeBaseError(f"{folder}: replaced {_OPEN_ATTEMPTS} times while it was opened; let the builds end")

    @classmethod
    def _load(
        cls, folder: Path, manifest: Manifest, num_threads: int, gpu: GpuSearch | None, kind: SearchIndex
    ) -> Self:
        """Load what the manifest describes, if sizes agree."""
        index = FlatIndex.load(
            folder / INDEX_FILE, feature_dim=manifest.feature_dim, num_threads=num_threads, gpu=gpu, kind=kind
        )
        records = RecordTable.open(folder / RECORDS_FILE)
        # Read here, as bytes: the caller compares the manifest afterwards, so that all is of one version.
        codebook_files = [CodebookFile.read(folder, entry) for entry in manifest.codebooks]
        knowledge_base = cls(folder, manifest, index, records, codebook_files, kind)
        try:
            if problems := list(knowledge_base._size_problems()):
                raise KnowledgeBaseError(f"{folder}: damaged, build it again: {'; '.join(problems)}")
        except BaseException:
            records.close()
            raise
        return knowledge_base

    @property
    def num_entries(self) -> int:
        """Number of entries."""
        return len(self._index)

    @property
    def fingerprint(self) -> bytes:
        """See `edge_rx.kb.manifest.Manifest.fingerprint`."""
        return self.manifest.fingerprint

    def features(self) -> Vectors:
        """Every entry's vector, (entries, feature_dim) float32."""
        return self._index.vectors(0, len(self._index))

    def projected(self, fingerprint: str) -> Vectors:
        """Projected vectors of all entries for one projection head, (entries, projection_dim) float32.

        Raises
        ------
        KnowledgeBaseError
            If there are none of that fingerprint, or the file differs from the manifest.
        """
        fix = f"make them with: semlink kb project {self.folder} --model-set ..."
        for entry in self.manifest.projected:
            if entry.fingerprint == fingerprint:
                path = self.folder / entry.file
                if path.is_file() and file_sha256(path) != entry.sha256:
                    raise KnowledgeBaseError(f"{entry.file}: damaged, or replaced while it was opened; {fix}")
                vectors = FlatIndex.load(path, feature_dim=entry.projection_dim)
                if len(vectors) != len(self._index):
                    raise KnowledgeBaseError(
                        f"{entry.file}: {len(vectors)} projected vectors for {len(self._index)} entries; {fix}"
                    )
                return vectors.vectors(0, len(vectors))
        raise KnowledgeBaseError(f"{self.folder} holds no projected vectors of this codec and model set; {fix}")

    def codebooks(self) -> list[KnowledgeBaseCodebook]:
        """Codebooks of `adapted` as they were at the opening, the newest first; none if the build made none.

        Raises
        ------
        KnowledgeBaseError
            If the newest one is damaged; earlier ones that are damaged are left out, with a warning.
        """
        return usable_codebooks(self._codebook_files, encoder_fingerprint=self.manifest.encoder_fingerprint)

    def newest_codebook(self) -> KnowledgeBaseCodebook:
        """The codebook that was made of the entries as they are; KnowledgeBaseError if there is none."""
        if not self._codebook_files:
            raise KnowledgeBaseError(
                f"{self.folder}: has no codebook; make one with: semlink kb make-codebook {self.folder}"
            )
        return self._codebook_files[0].codebook(encoder_fingerprint=self.manifest.encoder_fingerprint)

    def search(self, queries: Vectors, *, num_matches: int = 1) -> tuple[EntryIds, Vectors]:
        """Find the entries nearest in meaning; see `edge_rx.kb.index.FlatIndex.search`."""
        return self._index.search(queries, num_matches=num_matches)

    def search_on_device(self, queries: DeviceView) -> tuple[EntryIds, Vectors]:
        """Find the nearest entry to each query on the GPU; see `edge_rx.kb.index.FlatIndex.search_on_device`."""
        return self._index.search_on_device(queries, num_matches=1)

    @property
    def search_description(self) -> str:
        """Which index finds features, and where."""
        return self._index.description

    def nearest(self, query: Vectors, *, num_matches: int) -> list[Neighbour]:
        """Find the entries nearest to one query of (feature_dim,), best first, with all that is known of them."""
        entry_ids, scores = self.search(query[None], num_matches=num_matches)
        records = [self.record(entry_id) for entry_id in entry_ids[0].tolist()]
        return [
            Neighbour(score=score, record=record, image_path=str(self.image_path(record)))
            for score, record in zip(scores[0].tolist(), records, strict=True)
        ]

    def record(self, entry_id: int) -> Record:
        """What is known of one entry; KnowledgeBaseError if there is none of that id."""
        return self._records.get(entry_id)

    def records(self) -> Iterator[Record]:
        """Every record, by rising entry id."""
        return iter(self._records)

    def labels(self) -> dict[str, int]:
        """Number of entries of each label."""
        return self._records.labels()

    def entry_labels(self) -> list[str]:
        """Label of each entry, by rising entry id; "" for an entry without one."""
        return self._records.entry_labels()

    def image_path(self, record: Record) -> Path:
        """Where an entry's picture is."""
        return self._images.path(record.image_sha256, record.image_suffix)

    def verify(self) -> list[str]:
        """Read everything and compare it with what it should be.

        Returns
        -------
        problems : a sentence for each; empty if the knowledge base is whole
        """
        problems: list[str] = []
        for check in (
            self._size_problems,
            self._hash_problems,
            self._vector_problems,
            self._codebook_problems,
            self._image_problems,
        ):
            try:
                problems.extend(check())
            except KnowledgeBaseError as error:
                problems.append(str(error))
        return problems

    def close(self) -> None:
        """Close the records' file."""
        self._records.close()

    def _size_problems(self) -> Iterator[str]:
        sizes = {INDEX_FILE: len(self._index), RECORDS_FILE: len(self._records)}
        for name, size in sizes.items():
            if size != self.manifest.num_entries:
                yield f"{name} has {size} entries, the manifest says {self.manifest.num_entries}"

    def _hash_problems(self) -> Iterator[str]:
        hashes = {INDEX_FILE: self.manifest.index_sha256, RECORDS_FILE: self.manifest.records_sha256}
        hashes |= {entry.file: entry.sha256 for entry in self.manifest.projected}
        for name, expected in hashes.items():
            if not (self.folder / name).is_file():
                yield f"{name}: missing"
            elif file_sha256(self.folder / name) != expected:
                yield f"{name}: sha256 is not the manifest's"

    def _vector_problems(self) -> Iterator[str]:
        for start in range(0, len(self._index), _VERIFY_BLOCK):
            vectors = self._index.vectors(start, min(_VERIFY_BLOCK, len(self._index) - start))
            # NaN fails the comparison too.
            is_unit = np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1.0) <= _NORM_TOLERANCE
            yield from (f"{INDEX_FILE}: vector {start + row} is not of unit length" for row in np.flatnonzero(~is_unit))

    def _codebook_problems(self) -> Iterator[str]:
        for entry in self.manifest.codebooks:
            try:
                CodebookFile.read(self.folder, entry).codebook(encoder_fingerprint=self.manifest.encoder_fingerprint)
            except KnowledgeBaseError as error:
                yield str(error)

    def _image_problems(self) -> Iterator[str]:
        for record in self._records:
            path = self.image_path(record)
            if not path.is_file():
                yield f"{path.relative_to(self.folder)}: missing (entry {record.entry_id}, {record.source})"
            elif file_sha256(path) != record.image_sha256:
                yield f"{path.relative_to(self.folder)}: content is not what its name says (entry {record.entry_id})"
