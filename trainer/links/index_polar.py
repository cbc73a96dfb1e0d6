"""Links of `index-polar`: the number of the nearest entry, as in `index`, with 5G's code for short messages.

CRC-aided polar code of the 5G uplink (3GPP TS 38.212, 5.3.1 and 5.4.1: 6 bits of CRC up to 19 bits of message, 11
above), QPSK, successive cancellation list decoding with a list of 8; code and decoder are Sionna's, which leaves out
the three parity bits that the standard adds to messages of up to 19 bits. A number whose CRC fails gives no match,
while `index` always gives the most likely entry.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from engines.models.entry_codebook import EntryCodebook
from semlink.errors import ConfigError
from semlink.iq import Symbols, pair_latent, unpair_symbols
from semlink.rates import Rate
from trainer.codecs.limits import POLAR_MIN_BITS, POLAR_RATES
from trainer.codecs.packages import missing_module
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.pictures import score_received
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_entries
from trainer.links.transmission import transmit_and_equalize

__all__ = ["IndexPolarLink", "PolarCode", "bit_likelihoods", "index_polar_links"]

_LIST_SIZE = 8
_BATCH = 500


class PolarCode:
    """Both ends of the code: numbers to symbols and back.

    Parameters
    ----------
    num_messages : numbers are 0 .. num_messages - 1
    rate : symbols of a number, within `POLAR_RATES`

    Raises
    ------
    ConfigError
        If the rate is not one of `POLAR_RATES`, or a number has fewer than `POLAR_MIN_BITS` bits.
    MissingDependencyError
        If Sionna is not installed.
    """

    def __init__(self, num_messages: int, rate: Rate) -> None:
        num_bits = (num_messages - 1).bit_length()
        if rate.num_symbols not in POLAR_RATES or num_bits < POLAR_MIN_BITS:
            raise ConfigError(
                f"a polar code needs {POLAR_RATES.start} to {POLAR_RATES.stop - 1} symbols and {POLAR_MIN_BITS} bits or"
                f" more, got {rate.num_symbols} symbols and {num_bits} bits"
            )
        try:
            from sionna.phy.fec.polar import Polar5GDecoder, Polar5GEncoder
        except ImportError as error:
            raise missing_module(str(error.name), "index-polar") from None
        self._num_messages = num_messages
        self._num_bits = num_bits
        # Sionna prints a note on the missing parity bits. Main thread only: the redirection is of the whole process.
        with contextlib.redirect_stdout(None):
            self._encoder = Polar5GEncoder(self._num_bits, rate.latent_dim, device="cpu")
        self._decoder: Callable[..., tuple[torch.Tensor, torch.Tensor]] = Polar5GDecoder(
            self._encoder, dec_type="SCL", list_size=_LIST_SIZE, return_crc_status=True, device="cpu"
        )

    def modulate(self, numbers: npt.NDArray[np.int64]) -> Symbols:
        """Encode numbers, (batch,) int64, to QPSK of unit power, (batch, n) complex64."""
        bits = (numbers[:, None] >> np.arange(self._num_bits)[::-1]) & 1
        with torch.no_grad():
            coded = self._encoder(torch.from_numpy(bits.astype(np.float32))).numpy()
        return pair_latent(np.asarray((2 * coded - 1) * 0.5**0.5, dtype=np.float32))

    def demodulate(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Decode equalized symbols, (batch, n) complex64 with their N0, (batch,), to numbers, (batch,) int64.

        A number is -1 if the CRC fails or it is not below `num_messages`.
        """
        starts = range(0, len(symbols), _BATCH)
        parts = [self._demodulate(symbols[i : i + _BATCH], noise_variance[i : i + _BATCH]) for i in starts]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def _demodulate(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        likelihoods = bit_likelihoods(symbols, noise_variance)
        with torch.no_grad():
            bits, crc_holds = self._decoder(torch.from_numpy(likelihoods))
        numbers = bits.numpy().astype(np.int64) @ (1 << np.arange(self._num_bits)[::-1])
        return np.where(crc_holds.numpy() & (numbers < self._num_messages), numbers, -1)


def bit_likelihoods(symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Log-likelihood ratios log p(1) / p(0) of the bits of QPSK, (batch, 2 n) float32.

    A bit is a real of +-sqrt(1/2) in Gaussian noise of variance N0 / 2.
    """
    return np.asarray(unpair_symbols(symbols) * (8**0.5 / noise_variance[:, None]), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class IndexPolarLink(Link):
    """The reference at one rate: the transmitter holds every entry's vector, as with `index`."""

    rate: Rate
    entries: EntryCodebook
    code: PolarCode

    @classmethod
    def of(cls, rate: Rate, noiseless: NoiselessRetrieval) -> IndexPolarLink:
        """Prepare for one knowledge base."""
        features = noiseless.kb_features
        return cls(rate, EntryCodebook.of(features, b"", space=""), PolarCode(len(features), rate))

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send the number of every image's nearest entry, and score the numbers that are received."""
        symbols = self.code.modulate(self.entries.nearest(noiseless.features))
        numbers = self.code.demodulate(*transmit_and_equalize(symbols, conditions, rng))
        is_received = numbers >= 0
        found = numbers[is_received]
        # The receiver's estimate of an image's features are those of the entry.
        queries = noiseless.kb_features[found]
        return score_received(lambda part: score_entries(list(found[:, None]), queries, part), is_received, noiseless)


def index_polar_links(inputs: LinkInputs) -> MakeLink:
    """Links of `index-polar`, which has no model; a rate's link serves all seeds, which draw noise only."""

    @cache
    def of_rate(rate: Rate) -> Link:
        return IndexPolarLink.of(rate, inputs.noiseless)

    return lambda _model, rate, _seed: of_rate(rate)
