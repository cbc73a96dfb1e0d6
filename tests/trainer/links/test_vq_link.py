"""Cell numbers sent as codewords."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.rates import parse_rate
from tests.support.conditions import awgn
from tests.support.retrieval import clustered_retrieval, clustered_training_data
from trainer.codecs.quantizer import fitted_quantizer
from trainer.codecs.table import find_codec
from trainer.links.vq_link import VqLink


@pytest.mark.parametrize("name", ["vq", "vq-residual", "vq-product"])
def test_numbers_arrive_at_a_high_snr_and_not_at_a_low_one(name: str, tmp_path: Path) -> None:
    noiseless = clustered_retrieval(spread=0.15)
    rate = parse_rate("128")
    key = find_codec(name).fit_key(rate, 0, "awgn")
    quantizer = fitted_quantizer(key, clustered_training_data(3000, spread=0.15), tmp_path)
    link = VqLink.of(quantizer, rate, seed=0)
    assert link.codewords.shape[0] == (1 if name == "vq" else 8)
    np.testing.assert_allclose(np.mean(link.codewords**2, axis=2), 0.5, rtol=1e-5)
    high, low = (link.retrieve(noiseless, awgn(snr_db), np.random.default_rng(0)) for snr_db in (10.0, -25.0))
    assert high.semantic_accuracy > noiseless.accuracy - 0.1
    assert low.semantic_accuracy < 0.4
