"""Links of vector quantizers with spherical codewords: the digital references without labels.

A stage has `SYMBOLS_PER_STAGE` symbols, which carry its cell's number as a random codeword of signs; a rate has as
many stages as fit. The receiver decides each stage by itself, sums the features of the cells, and searches for
the nearest entry. Only cell numbers are sent, so a wrong decision costs the distance between two cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.models.arrays import FloatArray
from semlink.iq import normalize_power, pair_latent, unpair_symbols
from semlink.rates import Rate
from trainer.codecs.quantizer import StagedQuantizer
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval
from trainer.links.transmission import transmit_and_equalize

__all__ = ["SYMBOLS_PER_STAGE", "VqLink", "vq_links"]

SYMBOLS_PER_STAGE = 16
"""Enough to carry a stage's 8 bits at 0 dB almost without error."""


@dataclass(frozen=True, eq=False)
class VqLink(Link):
    """A quantizer at one rate.

    Attributes
    ----------
    codewords : (stages, cells, 2 n / stages) float32, +-sqrt(1/2)
    """

    rate: Rate
    quantizer: StagedQuantizer
    codewords: FloatArray

    @classmethod
    def of(cls, quantizer: StagedQuantizer, rate: Rate, *, seed: int) -> VqLink:
        """Divide the symbols equally among the stages; the seed draws the codewords."""
        num_stages = int(np.clip(rate.num_symbols // SYMBOLS_PER_STAGE, 1, len(quantizer.centres)))
        shape = (num_stages, quantizer.centres.shape[1], rate.latent_dim // num_stages)
        signs = np.random.default_rng(seed).integers(0, 2, shape)
        return cls(rate, quantizer, np.asarray((2 * signs - 1) * 0.5**0.5, dtype=np.float32))

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image's cell numbers, decide them, and search for the features of the decided cells."""
        num_stages = len(self.codewords)
        numbers = self.quantizer.quantize(noiseless.features, num_stages)
        sent = np.concatenate([self.codewords[stage][numbers[:, stage]] for stage in range(num_stages)], axis=1)
        symbols, _ = transmit_and_equalize(normalize_power(pair_latent(sent)), conditions, rng)
        observation = unpair_symbols(symbols).reshape(len(symbols), num_stages, -1)
        # Codewords have one power, so the largest inner product is that of the nearest codeword.
        decided = [(observation[:, stage] @ self.codewords[stage].T).argmax(axis=1) for stage in range(num_stages)]
        return score_retrieval(self.quantizer.dequantize(np.stack(decided, axis=1)), noiseless)


def vq_links(inputs: LinkInputs) -> MakeLink:
    """Links of `vq`, `vq-residual` and `vq-product`, from a `StagedQuantizer`."""

    def make(model: StagedQuantizer, rate: Rate, seed: int) -> Link:
        return VqLink.of(model, rate, seed=seed)

    return make
