"""Codecs made of a receiver's knowledge base, which a transmitter sends with only while the receiver decodes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from typing_extensions import Self

from edge_tx.model import EXPORT_CODEBOOK, GraphModel, IndexModel, TransmitterModel
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.receiver_report import ReceiverReport

__all__ = ["AdaptedCandidate", "Candidate", "Fit", "IndexCandidate"]


class Fit(NamedTuple):
    """Whether a receiver decodes a codec, and what the user should do about it, if anything."""

    is_decoded: bool
    advice: str | None = None


class Candidate(Protocol):
    """A loaded codec that some receivers decode."""

    @property
    def model(self) -> TransmitterModel:
        """The codec."""
        ...

    def fit(self, report: ReceiverReport) -> Fit:
        """Compare the codec with what a receiver reports of itself."""
        ...


@dataclass(frozen=True)
class IndexCandidate:
    """`index`: decoded by a receiver whose knowledge base is that of the entry codebook."""

    model: IndexModel

    def fit(self, report: ReceiverReport) -> Fit:
        """See `Candidate`."""
        if report.knowledge_base == self.model.entries.knowledge_base.hex():
            return Fit(is_decoded=True)
        return Fit(
            is_decoded=False,
            advice="the entry codebook is not of the receiver's knowledge base; export it again:"
            " semlink kb export-entries",
        )


@dataclass(frozen=True)
class AdaptedCandidate:
    """`adapted`: decoded by a receiver that has the same codebook, of its knowledge base as it is or as it was.

    Attributes
    ----------
    sha256 : SHA-256 of the codebook, in hex
    knowledge_base : fingerprint of the knowledge base that made the codebook, in hex
    """

    model: GraphModel
    sha256: str
    knowledge_base: str

    @classmethod
    def of(cls, model: GraphModel, codebook: KnowledgeBaseCodebook) -> Self:
        """The candidate of a codebook and its loaded model."""
        return cls(model, codebook.sha256, codebook.knowledge_base.tobytes().hex())

    def fit(self, report: ReceiverReport) -> Fit:
        """See `Candidate`; a codebook that is not the receiver's newest is decoded, and should be replaced."""
        if self.sha256 not in report.codebooks:
            decoded = ", ".join(sha256[:12] for sha256 in report.codebooks) or "none"
            return Fit(
                is_decoded=False,
                advice=f"the receiver does not decode the codebook {self.sha256[:12]} (it decodes: {decoded}); export"
                f" it again from the receiver's knowledge base: {EXPORT_CODEBOOK}",
            )
        if self.sha256 != report.codebooks[0]:
            return Fit(
                is_decoded=True,
                advice=f"the receiver's knowledge base has a newer codebook than {self.sha256[:12]}; export it again:"
                f" {EXPORT_CODEBOOK}",
            )
        return Fit(is_decoded=True)
