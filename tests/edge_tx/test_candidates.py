"""Which reports show that a receiver decodes a codec, and what the user reads otherwise."""

from __future__ import annotations

import numpy as np

from edge_tx.candidates import AdaptedCandidate, IndexCandidate
from edge_tx.model import load_index_model, load_transmitter_model
from engines.models.entry_codebook import EntryCodebook
from engines.models.model_set import ModelSet
from semlink.rates import parse_rate
from semlink.receiver_report import ReceiverReport
from tests.support.codebooks import small_codebook

KNOWLEDGE_BASE = bytes(range(32))
NEWER, OTHER = "1" * 64, "2" * 64


def test_index_is_of_one_knowledge_base(model_set: ModelSet) -> None:
    entries = EntryCodebook.of(np.eye(3, 16, dtype=np.float32), KNOWLEDGE_BASE, space=model_set.encoder_fingerprint)
    index = IndexCandidate(load_index_model(model_set, entries))
    assert index.fit(ReceiverReport(knowledge_base=KNOWLEDGE_BASE.hex())) == (True, None)
    is_decoded, advice = index.fit(ReceiverReport(knowledge_base=OTHER))
    assert not is_decoded
    assert advice is not None
    assert advice.endswith("export it again: semlink kb export-entries")


def test_adapted_is_of_a_codebook_that_the_receiver_may_have_replaced(model_set: ModelSet) -> None:
    codebook = small_codebook(model_set.encoder_fingerprint)
    adapted = AdaptedCandidate.of(load_transmitter_model(model_set, parse_rate("4"), codec=codebook), codebook)

    def fit(*codebooks: str) -> tuple[bool, str | None]:
        return adapted.fit(ReceiverReport(knowledge_base=OTHER, codebooks=codebooks))

    assert fit(codebook.sha256) == fit(codebook.sha256, OTHER) == (True, None)
    is_decoded, advice = fit(NEWER, codebook.sha256)
    assert is_decoded
    assert advice is not None
    assert "newer codebook" in advice
    for codebooks in ((), (NEWER, OTHER)):
        is_decoded, advice = fit(*codebooks)
        assert not is_decoded
        assert advice is not None
        assert advice.endswith("semlink kb export-codebook KB --out FILE")
