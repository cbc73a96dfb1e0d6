"""Index mode at the receiver."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.decoders.codeword_search import CodewordSearch
from engines.models.entry_codebook import entry_codewords
from semlink.channel import ChannelModel, apply_channel, noise_variance
from semlink.errors import KnowledgeBaseError
from semlink.iq import pair_latent
from semlink.rates import parse_rate

ENTRIES = np.arange(1000)


def queries(search: CodewordSearch, num_symbols: str, snr_db: float) -> np.ndarray:
    """Of every entry's codeword, sent once through noise."""
    symbols = pair_latent(entry_codewords(b"kb", ENTRIES, parse_rate(num_symbols)))
    received = apply_channel(symbols, ChannelModel.AWGN, snr_db=snr_db, rng=np.random.default_rng(0)).symbols
    return search.queries(received, np.full(len(ENTRIES), noise_variance(snr_db)))


def error_rate_of_orthogonal_words(num_words: int, energy_over_n0: float) -> float:
    """Probability of error with maximum-likelihood decoding (Proakis, Digital Communications, 4.4-10)."""
    from scipy import integrate, stats

    def right(x: float) -> float:
        return float(stats.norm.cdf(x) ** (num_words - 1) * stats.norm.pdf(x - (2 * energy_over_n0) ** 0.5))

    return 1.0 - float(integrate.quad(right, -10, 30)[0])


@pytest.mark.parametrize(("num_symbols", "snr_db"), [("64", -7.0), ("32", -4.0), ("16", 0.0)])
def test_errors_are_as_many_as_theory_says(num_symbols: str, snr_db: float) -> None:
    search = CodewordSearch(b"kb", len(ENTRIES), parse_rate(num_symbols))
    found, _ = search.search(queries(search, num_symbols, snr_db), num_matches=1)
    expected = error_rate_of_orthogonal_words(len(ENTRIES), int(num_symbols) / noise_variance(snr_db))
    measured = float(np.mean(found[:, 0] != ENTRIES))
    # Random words in few dimensions are a little worse than orthogonal ones.
    assert measured == pytest.approx(expected, abs=0.06)


def test_margin_tells_how_sure_the_answer_is() -> None:
    search = CodewordSearch(b"kb", len(ENTRIES), parse_rate("16"))
    found, scores = search.search(queries(search, "16", 0.0), num_matches=2)
    is_right, margin = found[:, 0] == ENTRIES, scores[:, 0] - scores[:, 1]
    assert margin[is_right].mean() > 2 * margin[~is_right].mean()
    # e to the margin is how much likelier the best is than the second: where it is large, errors are rare.
    assert np.mean(is_right[margin > 7]) > 0.99


def test_stranger_code_is_noise() -> None:
    search = CodewordSearch(b"another kb", len(ENTRIES), parse_rate("64"))
    found, _ = search.search(queries(search, "64", 20.0), num_matches=1)
    assert np.mean(found[:, 0] == ENTRIES) < 0.01


def test_empty_knowledge_base_is_refused() -> None:
    with pytest.raises(KnowledgeBaseError, match="without entries"):
        CodewordSearch(b"kb", 0, parse_rate("64"))
