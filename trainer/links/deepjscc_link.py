"""Links of `deepjscc`: pictures as the symbols of a trained network, sent like every other codec's."""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import torch

from semlink.iq import Symbols, normalize_power, pair_latent, unpair_symbols
from semlink.rates import Rate
from trainer.codecs.deepjscc_network import DeepJsccNetwork
from trainer.codecs.deepjscc_training import read_pictures
from trainer.features import FeatureEncoder
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.pictures import encode_pictures
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval
from trainer.links.transmission import transmit_and_equalize

__all__ = ["DeepJsccLink", "deepjscc_links"]

_BATCH_SIZE = 250


class DeepJsccLink(Link):
    """The reference at one rate. The transmitter knows no SNR, the receiver estimates it.

    Parameters
    ----------
    rate : the network's
    network : trained, in evaluation mode
    pictures : (n, 32, 32, 3) uint8, the images to send
    encoder : the receiver's image encoder
    """

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
        """Equalized symbols (batch, n) complex64 and their N0 (batch,) to pictures, (batch, 32, 32, 3) uint8."""
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
        """Send every picture, encode the received ones, and search for their features."""
        pictures = self.decode(*transmit_and_equalize(self.symbols, conditions, rng))
        return score_retrieval(encode_pictures(list(pictures), self._encoder), noiseless)


def deepjscc_links(inputs: LinkInputs) -> MakeLink:
    """Links of `deepjscc`, from a trained network; all share one array of pictures."""

    @cache
    def pictures() -> npt.NDArray[np.uint8]:
        return read_pictures(inputs.images)

    def make(model: DeepJsccNetwork, rate: Rate, seed: int) -> Link:
        return DeepJsccLink(rate, model, pictures(), inputs.encoder)

    return make
