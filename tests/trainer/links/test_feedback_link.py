"""`nested-feedback` follows what is reported."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.ranking import RankedEntries, SymbolSearch
from semlink.rates import parse_rate
from tests.support.conditions import awgn
from tests.support.model_sets import make_codebook
from trainer.links.feedback_link import FeedbackLink
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.signal_link import SignalLink


@pytest.mark.parametrize(
    ("snr_db", "error_db", "num_low"), [(20.0, 0.0, 64), (20.0, -30.0, 300), (-10.0, 0.0, 300), (-10.0, 30.0, 64)]
)
def test_transmitter_follows_the_report_and_not_the_channel(
    snr_db: float, error_db: float, num_low: int, noiseless: NoiselessRetrieval
) -> None:
    """The first 64 images have no report; after a wrong one the receiver still uses the code that was sent."""
    codebook = make_codebook(16, np.random.default_rng(0), sends_codeword=True)
    link = FeedbackLink.of(codebook, parse_rate("64"), noiseless, report_error_db=error_db)
    sent, searched = {"low": 0, "high": 0}, {"low": 0, "high": 0}

    @dataclass
    class CountedSearch:
        name: str
        search: SymbolSearch

        def ranked(self, symbols: np.ndarray, noise_variance: np.ndarray) -> list[RankedEntries]:
            searched[self.name] += len(symbols)
            return self.search.ranked(symbols, noise_variance)

    def counted(name: str, link: SignalLink) -> SignalLink:
        def encode(features: np.ndarray) -> np.ndarray:
            sent[name] += len(features)
            return link.encode(features)

        return replace(link, encode=encode, search=CountedSearch(name, link.search))

    counting = replace(link, low_snr=counted("low", link.low_snr), high_snr=counted("high", link.high_snr))
    scores = counting.retrieve(noiseless, awgn(snr_db), np.random.default_rng(0))
    assert sent == searched == {"low": num_low, "high": 300 - num_low}
    if snr_db > 0.0:
        assert scores.semantic_accuracy > 0.3
