"""`deepjscc`: pictures as the symbols of a trained network, sent like every other codec's."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from semlink.iq import Symbols, normalize_power, pair_latent, unpair_symbols
from semlink.rates import Rate
from trainer.features import FeatureEncoder
from trainer.links.graph_link import LinkConditions
from trainer.links.references.deepjscc_network import DeepJsccNetwork
from trainer.links.references.reception import encode_pictures
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval
from trainer.links.signal_link import transmit_and_equalize

__all__ = ["DeepJsccLink"]

_BATCH_SIZE = 250


class DeepJsccLink:
    """The reference at one rate. The transmitter knows no SNR, the receiver the one that it estimates.

    Parameters
    ----------
    rate : the network's
    network : trained, in evaluation mode
    pictures : (n, 32, 32, 3) uint8, what is sent
    encoder : what the receiver puts its pictures through
    """

    name = "deepjscc"

    def __init__(
        self, rate: Rate, network: DeepJsccNetwork, pictures: npt.NDArray[np.uint8], encoder: FeatureEncoder
    ) -> None:
        self.rate = rate
        self._network, self._pictures, self._encoder = network, pictures, encoder

    @cached_property
    def symbols(self) -> Symbols:
        """(n, num_symbols) complex64 of unit mean power in each row; the same for every SNR and seed."""
        with torch.inference_mode():
            planes = torch.from_numpy(self._pictures).permute(0, 3, 1, 2)
            parts = [self._network.encode(part.float() / 255).numpy() for part in planes.split(_BATCH_SIZE)]
        return normalize_power(pair_latent(np.concatenate(parts)))

    def decode(self, received: Symbols, noise_variance: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """Symbols as heard to pictures, (batch, 32, 32, 3) uint8."""
        latent = torch.from_numpy(unpair_symbols(received))
        snr_db = torch.from_numpy((-10 * np.log10(noise_variance)).astype(np.float32))
        with torch.inference_mode():
            parts = [
                self._network.decode(*part)
                for part in zip(latent.split(_BATCH_SIZE), snr_db.split(_BATCH_SIZE), strict=True)
            ]
            pixels = (torch.cat(parts).clamp(0, 1) * 255).round().to(torch.uint8)
        return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every picture, encode what arrives, and search for it."""
        pictures = self.decode(*transmit_and_equalize(self.symbols, conditions, rng))
        return score_retrieval(encode_pictures(list(pictures), self._encoder), noiseless)
