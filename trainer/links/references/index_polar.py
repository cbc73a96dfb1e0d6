"""`index-polar`: what `index` sends, the number of the nearest entry, with 5G's own code for short messages.

CRC-aided polar code of the 5G uplink (3GPP TS 38.212, 5.3.1 and 5.4.1: 6 bits of CRC up to 19 bits of message, 11
above), QPSK, successive cancellation list decoding with a list of 8; code and decoder are Sionna's, which leaves out
the three parity bits that the standard adds to messages of up to 19 bits. A number whose CRC fails is no answer,
where `index` answers with the likeliest entry, right or wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from engines.models.entry_codebook import EntryCodebook
from semlink.errors import ConfigError
from semlink.iq import Symbols, pair_latent, unpair_symbols
from semlink.rates import Rate
from trainer.links.graph_link import LinkConditions
from trainer.links.references.packages import missing_module
from trainer.links.references.reception import score_received
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_entries
from trainer.links.signal_link import transmit_and_equalize

__all__ = ["POLAR_RATES", "IndexPolarLink", "PolarCode", "bit_likelihoods", "require_polar"]

POLAR_RATES = range(16, 513)
"""Symbols: fewer have no room for number and CRC, and the standard's code ends at 1,088 coded bits."""

_LEAST_BITS = 12
"""Fewer message bits have another code in 5G, without a CRC. Padded ones would only make the reference look weak."""
_LIST_SIZE = 8
_BATCH = 500


def require_polar(rate: Rate, num_messages: int) -> None:
    """ConfigError where 5G has no polar code for so many messages at a rate."""
    if rate.num_symbols not in POLAR_RATES:
        first, last = POLAR_RATES.start, POLAR_RATES.stop - 1
        raise ConfigError(f"index-polar is made for {first} to {last} symbols, not {rate.num_symbols}")
    if (num_messages - 1).bit_length() < _LEAST_BITS:
        least = 2 ** (_LEAST_BITS - 1) + 1
        raise ConfigError(f"index-polar is made for knowledge bases of {least:,} entries or more, not {num_messages:,}")


class PolarCode:
    """Both ends of the code: numbers to symbols and back.

    Parameters
    ----------
    num_messages : numbers are 0 .. num_messages - 1
    rate : symbols of a number, within `POLAR_RATES`

    Raises
    ------
    ConfigError
        If the code is not made for the rate, or for so few messages.
    MissingDependencyError
        If Sionna is not installed.
    """

    def __init__(self, num_messages: int, rate: Rate) -> None:
        require_polar(rate, num_messages)
        try:
            from sionna.phy.fec.polar import Polar5GDecoder, Polar5GEncoder
        except ImportError as error:
            raise missing_module(str(error.name), "index-polar") from None
        self._num_messages = num_messages
        self._num_bits = (num_messages - 1).bit_length()
        # It prints what the head of this file says of parity bits. For the main thread only: stdout is everybody's.
        with contextlib.redirect_stdout(None):
            self._encoder = Polar5GEncoder(self._num_bits, rate.latent_dim, device="cpu")
        self._decoder: Callable[..., tuple[torch.Tensor, torch.Tensor]] = Polar5GDecoder(
            self._encoder, dec_type="SCL", list_size=_LIST_SIZE, return_crc_status=True, device="cpu"
        )

    def modulate(self, numbers: npt.NDArray[np.int64]) -> Symbols:
        """Code numbers and map them, (batch,) to (batch, n) complex64 QPSK of unit power."""
        bits = (numbers[:, None] >> np.arange(self._num_bits)[::-1]) & 1
        with torch.no_grad():
            coded = self._encoder(torch.from_numpy(bits.astype(np.float32))).numpy()
        return pair_latent(np.asarray((2 * coded - 1) * 0.5**0.5, dtype=np.float32))

    def demodulate(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Decode.

        Parameters
        ----------
        symbols : (batch, n) complex64, the gain undone
        noise_variance : (batch,) N0 of them, as estimated

        Returns
        -------
        numbers : (batch,) int64; -1 where the CRC fails, or no message has the number
        """
        starts = range(0, len(symbols), _BATCH)
        parts = [self._demodulate(symbols[i : i + _BATCH], noise_variance[i : i + _BATCH]) for i in starts]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def _demodulate(self, symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        likelihoods = bit_likelihoods(symbols, noise_variance)
        with torch.no_grad():
            bits, is_right = self._decoder(torch.from_numpy(likelihoods))
        numbers = bits.numpy().astype(np.int64) @ (1 << np.arange(self._num_bits)[::-1])
        return np.where(is_right.numpy() & (numbers < self._num_messages), numbers, -1)


def bit_likelihoods(symbols: Symbols, noise_variance: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """log p(1) / p(0) of the bits of QPSK: reals of +-sqrt(1/2) in noise of variance N0 / 2; (batch, 2 n)."""
    return np.asarray(unpair_symbols(symbols) * (8**0.5 / noise_variance[:, None]), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class IndexPolarLink:
    """The reference at one rate: the transmitter holds the receiver's keys, as with `index`."""

    rate: Rate
    entries: EntryCodebook
    code: PolarCode
    name: str = "index-polar"

    @classmethod
    def of(cls, rate: Rate, noiseless: NoiselessRetrieval) -> IndexPolarLink:
        """Prepare for the knowledge base that `clean` retrieves from."""
        features = noiseless.index.vectors(0, len(noiseless.index))
        return cls(rate, EntryCodebook.of(features, b"", space=""), PolarCode(len(features), rate))

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image's number, and score those that arrive."""
        symbols = self.code.modulate(self.entries.nearest(noiseless.features))
        numbers = self.code.demodulate(*transmit_and_equalize(symbols, conditions, rng))
        is_received = numbers >= 0
        found = numbers[is_received]
        # A number that came through says of the image what its entry's features say.
        queries = noiseless.index.vectors(0, len(noiseless.index))[found]
        return score_received(lambda part: score_entries(list(found[:, None]), queries, part), is_received, noiseless)
