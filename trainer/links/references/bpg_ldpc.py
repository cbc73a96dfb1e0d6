"""`bpg-ldpc`: the best HEVC still that fits, LDPC-coded, as QAM; right bits or no picture.

Assumed in its favour: parameter sets are known, nobody pays for a length field or a CRC (whether a codeword is right
is looked up), and the transmitter knows the channel and its mean SNR, for which it has the mode that did best on
training images. No codec here has that: there is no link from the receiver back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from edge_rx.kb.index import FlatIndex
from engines.models.image_encoder import Features
from semlink.image import RGBImage
from semlink.rates import Rate
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.base import ImageList
from trainer.datasets.cifar100 import paper_train_split
from trainer.features import FeatureEncoder
from trainer.links.graph_link import LinkConditions
from trainer.links.references.coded_modulation import Bits, CodedModulation, Mode, modes
from trainer.links.references.hevc_stills import HevcStills, StillLadder
from trainer.links.references.reception import encode_pictures, score_received
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval
from trainer.links.signal_link import transmit_and_equalize

__all__ = ["BpgLdpcLink", "ModeChoice", "StillSource", "pack_payloads", "unpack_payloads"]

_log = logging.getLogger(__name__)

_NUM_VALIDATION_IMAGES = 200
_NUM_TRIAL_CODEWORDS = 100


class StillSource:
    """Pictures as stills of a given size, and what the encoder sees in them; each worked out once.

    Parameters
    ----------
    images : all of one size
    encoder : what the receiver puts its pictures through
    """

    def __init__(self, images: Sequence[RGBImage], encoder: FeatureEncoder) -> None:
        height_px, width_px, _ = images[0].shape
        self._stills = HevcStills(height_px=height_px, width_px=width_px)
        self._ladder = StillLadder(self._stills, images)
        self._encoder = encoder
        self._features: dict[int, Features] = {}

    def payloads(self, num_bytes: int) -> list[bytes | None]:
        """See `StillLadder.best_within`."""
        return self._ladder.best_within(num_bytes)

    def fits(self, num_bytes: int) -> npt.NDArray[np.bool_]:
        """(images,) whether there is a payload."""
        return np.array([payload is not None for payload in self.payloads(num_bytes)])

    def features(self, num_bytes: int) -> Features:
        """(images, feature_dim) of what is seen where the payloads arrive; zeros where there is none."""
        if num_bytes not in self._features:
            fits = self.fits(num_bytes)
            pictures = self._stills.decode([payload for payload in self.payloads(num_bytes) if payload is not None])
            self._features[num_bytes] = np.zeros((len(fits), self._encoder.feature_dim), dtype=np.float32)
            self._features[num_bytes][fits] = encode_pictures(pictures, self._encoder)
        return self._features[num_bytes]


def pack_payloads(payloads: Sequence[bytes], mode: Mode) -> Bits:
    """Payloads with zeros behind them, as (len(payloads), mode.num_bits) bits, most significant first."""
    bits = np.zeros((len(payloads), mode.num_bits), dtype=np.uint8)
    for row, payload in zip(bits, payloads, strict=True):
        row[: 8 * len(payload)] = np.unpackbits(np.frombuffer(payload, dtype=np.uint8))
    return bits


def unpack_payloads(bits: Bits) -> list[bytes]:
    """Inverse of `pack_payloads`: a slice ends in a bit of 1, so that zeros behind it are padding."""
    whole_bytes = bits[:, : bits.shape[1] // 8 * 8]
    return [row.tobytes().rstrip(b"\x00") for row in np.packbits(whole_bytes, axis=1)]


@dataclass(frozen=True, eq=False)
class _Validation:
    """Training images to send, and others to find."""

    source: StillSource
    labels: npt.NDArray[np.int64]
    index: FlatIndex
    kb_labels: npt.NDArray[np.int64]


class ModeChoice:
    """Which modulation and code rate to send with, chosen on training images.

    What to expect of a mode is the share of codewords that arrive (tried with random bits over the very channel) times
    the semantic accuracy of the stills that it has room for. The images are those that `kbsc` chooses its best epoch
    by, or 200 of them.

    Parameters
    ----------
    images, training_data : the training images and their features, in the same order
    """

    def __init__(self, images: ImageList, training_data: TrainingFeatures, encoder: FeatureEncoder) -> None:
        _, sent, kb = paper_train_split(len(images), seed=0)
        sent = sent[np.linspace(0, len(sent) - 1, min(len(sent), _NUM_VALIDATION_IMAGES)).astype(np.int64)]
        index = FlatIndex(training_data.features.shape[1])
        index.add(training_data.features[kb])
        source = StillSource([images.image(int(position)) for position in sent], encoder)
        self._validation = _Validation(source, training_data.labels[sent], index, training_data.labels[kb])
        self._accuracies: dict[int, float] = {}
        self._chosen: dict[tuple[int, LinkConditions], Mode | None] = {}

    def accuracy(self, num_bytes: int) -> float:
        """Semantic accuracy on validation images if every payload of so many bytes arrives."""
        if num_bytes not in self._accuracies:
            validation = self._validation
            fits = validation.source.fits(num_bytes)
            num_right = 0
            if fits.any():
                entries, _ = validation.index.search(validation.source.features(num_bytes)[fits], num_matches=1)
                num_right = int(np.count_nonzero(validation.kb_labels[entries[:, 0]] == validation.labels[fits]))
            self._accuracies[num_bytes] = num_right / len(fits)
        return self._accuracies[num_bytes]

    def best(self, rate: Rate, conditions: LinkConditions) -> Mode | None:
        """The mode that is right most often; None if none ever is."""
        key = rate.num_symbols, conditions
        if key not in self._chosen:
            expected: dict[Mode, float] = {}
            for mode in modes(rate.num_symbols):
                share = arrival_share(mode, conditions)
                if not share:
                    break  # and those that carry more will not arrive either
                expected[mode] = share * self.accuracy(mode.num_bytes)
            best = max(expected, key=expected.__getitem__, default=None)
            self._chosen[key] = best if best is not None and expected[best] > 0 else None
            _log.info(
                "%d symbols, %s, %g dB: %s",
                rate.num_symbols,
                conditions.channel.value,
                conditions.snr_db,
                self._chosen[key],
            )
        return self._chosen[key]


def arrival_share(mode: Mode, conditions: LinkConditions) -> float:
    """Share of codewords that arrive whole, of a hundred with random bits."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (_NUM_TRIAL_CODEWORDS, mode.num_bits), dtype=np.uint8)
    return float(np.mean(_arrives(bits, mode, conditions, rng)))


def _arrives(bits: Bits, mode: Mode, conditions: LinkConditions, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    if not len(bits):
        return np.zeros(0, dtype=bool)
    coder = CodedModulation(mode)
    decided = coder.demodulate(*transmit_and_equalize(coder.modulate(bits), conditions, rng))
    return np.asarray((decided == bits).all(axis=1))


class BpgLdpcLink:
    """The reference at one rate.

    Parameters
    ----------
    source : the pictures that are sent
    choice : which mode to send them with
    """

    name = "bpg-ldpc"

    def __init__(self, rate: Rate, source: StillSource, choice: ModeChoice) -> None:
        self.rate = rate
        self._source, self._choice = source, choice

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every picture that fits, encode those that arrive, and search for them."""
        is_received = np.zeros(len(noiseless.features), dtype=bool)
        queries = noiseless.features[:0]
        if (mode := self._choice.best(self.rate, conditions)) is not None:
            payloads = [payload for payload in self._source.payloads(mode.num_bytes) if payload is not None]
            is_received[self._source.fits(mode.num_bytes)] = _arrives(
                pack_payloads(payloads, mode), mode, conditions, rng
            )
            # A codeword that is right gives the very payload, so each still is decoded and encoded once for all SNRs.
            queries = self._source.features(mode.num_bytes)[is_received]
        return score_received(partial(score_retrieval, queries), is_received, noiseless)
