"""Stills over the channel: all bits or no picture."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("av", reason="needs semlink[references]")
pytest.importorskip("sionna", reason="needs semlink[references]")

from engines.models.image_encoder import ImageEncoder
from semlink.rates import parse_rate
from tests.support.conditions import NOISELESS, awgn
from trainer.links.bpg_ldpc import BpgLdpcLink, StillSource, pack_payloads
from trainer.links.coded_modulation import Mode
from trainer.links.retrieval import NoiselessRetrieval

FULL_RATE = parse_rate("1024")


class Always:
    """A mode that is the same for all conditions."""

    def __init__(self, mode: Mode | None) -> None:
        self.mode = mode

    def best(self, *_: object) -> Mode | None:
        return self.mode


@pytest.fixture(scope="module")
def source(encoder: ImageEncoder, sent_pictures: list[np.ndarray]) -> StillSource:
    return StillSource(sent_pictures, encoder)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=16).map(lambda data: data + b"\x01"), min_size=1, max_size=4))
def test_payloads_are_padded_bits(payloads: list[bytes]) -> None:
    mode = Mode(70, 4, Fraction(1, 2))  # 140 bits: 17 bytes, and half of one
    bits = pack_payloads(payloads, mode)
    assert bits.shape == (len(payloads), 140)
    assert [row.tobytes().rstrip(b"\x00") for row in np.packbits(bits[:, :136], axis=1)] == payloads
    assert not bits[:, 136:].any()


def test_undecodable_image_is_wrong(source: StillSource, noiseless_pictures: NoiselessRetrieval) -> None:
    link = BpgLdpcLink(FULL_RATE, source, Always(Mode(1024, 2, Fraction(1, 2))))
    assert link.retrieve(noiseless_pictures, awgn(-3.0), np.random.default_rng(0)).semantic_accuracy == 0.0
    assert link.retrieve(noiseless_pictures, awgn(6.0), np.random.default_rng(0)).semantic_accuracy > 0.9


def test_image_too_large_for_the_budget_is_wrong(source: StillSource, noiseless_pictures: NoiselessRetrieval) -> None:
    rate, mode = parse_rate("64"), Mode(64, 2, Fraction(1, 5))  # 3 bytes
    assert not source.fits(mode.num_bytes).any()
    for choice in (Always(mode), Always(None)):
        scores = BpgLdpcLink(rate, source, choice).retrieve(noiseless_pictures, NOISELESS, np.random.default_rng(0))
        assert (scores.semantic_accuracy, scores.recall_at_10) == (0.0, 0.0)
    mode = Mode(64, 4, Fraction(3, 4))  # 24 bytes: some fit
    share = float(np.mean(source.fits(mode.num_bytes)))
    scores = BpgLdpcLink(rate, source, Always(mode)).retrieve(noiseless_pictures, NOISELESS, np.random.default_rng(0))
    assert scores.semantic_accuracy <= share


def test_high_rate_without_noise_is_near_the_noiseless_retrieval(
    source: StillSource, noiseless_pictures: NoiselessRetrieval
) -> None:
    link = BpgLdpcLink(FULL_RATE, source, Always(Mode(1024, 6, Fraction(5, 6))))
    scores = link.retrieve(noiseless_pictures, NOISELESS, np.random.default_rng(0))
    assert scores.semantic_accuracy == pytest.approx(noiseless_pictures.accuracy, abs=0.03)
    assert scores.mean_cosine > 0.99


def test_mode_is_named_for_the_report(source: StillSource) -> None:
    mode = Mode(1024, 4, Fraction(3, 4))
    assert BpgLdpcLink(FULL_RATE, source, Always(mode)).mode(awgn(0.0)) == "16-QAM 3/4"
    assert BpgLdpcLink(FULL_RATE, source, Always(None)).mode(awgn(0.0)) == "no mode"
