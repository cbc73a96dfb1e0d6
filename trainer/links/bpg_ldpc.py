"""Links of `bpg-ldpc`: the best HEVC still that fits, LDPC-coded, as QAM; a codeword with an error loses the picture.

Assumed in its favour: both ends know the parameter sets, a length field and a CRC cost nothing (a comparison with the
sent bits stands for the CRC), and the transmitter knows the channel and its mean SNR, for which it uses the mode that
was best on training images. No other codec has that, because there is no reverse link.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from edge_rx.kb.index import FlatIndex
from engines.models.image_encoder import Features
from semlink.image import RGBImage
from semlink.rates import Rate
from trainer.codecs.fitting import FittingContext
from trainer.codecs.spec import FitKey, FittedModel
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.base import ImageList
from trainer.datasets.cifar100 import paper_train_split
from trainer.features import FeatureEncoder
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.coded_modulation import Bits, CodedModulation, Mode, modes
from trainer.links.conditions import LinkConditions
from trainer.links.hevc_stills import HevcStills, StillLadder
from trainer.links.pictures import encode_pictures, score_received
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval
from trainer.links.transmission import transmit_and_equalize

__all__ = ["BpgLdpcLink", "ModeChoice", "StillSource", "bpg_ldpc_links", "fit_bpg_ldpc", "pack_payloads"]

_log = logging.getLogger(__name__)

_NUM_VALIDATION_IMAGES = 200
_NUM_TRIAL_CODEWORDS = 100


class StillSource:
    """Pictures as stills of a given size, and the features of those stills; each computed once.

    Parameters
    ----------
    images : all of one size
    encoder : the receiver's image encoder
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
        """(images, feature_dim) float32, features of the decoded stills; zeros for an image without a payload."""
        if num_bytes not in self._features:
            fits = self.fits(num_bytes)
            pictures = self._stills.decode([payload for payload in self.payloads(num_bytes) if payload is not None])
            self._features[num_bytes] = np.zeros((len(fits), self._encoder.feature_dim), dtype=np.float32)
            self._features[num_bytes][fits] = encode_pictures(pictures, self._encoder)
        return self._features[num_bytes]


def pack_payloads(payloads: Sequence[bytes], mode: Mode) -> Bits:
    """Payloads as (len(payloads), mode.num_bits) bits, most significant first, padded with zeros.

    A payload ends in a byte other than zero, so that the padding needs no length field.
    """
    bits = np.zeros((len(payloads), mode.num_bits), dtype=np.uint8)
    for row, payload in zip(bits, payloads, strict=True):
        row[: 8 * len(payload)] = np.unpackbits(np.frombuffer(payload, dtype=np.uint8))
    return bits


@dataclass(frozen=True, eq=False)
class _Validation:
    """Training images to send, and a knowledge base of others."""

    source: StillSource
    labels: npt.NDArray[np.int64]
    index: FlatIndex
    kb_labels: npt.NDArray[np.int64]


class ModeChoice:
    """Selects the modulation and code rate on training images.

    The expected accuracy of a mode is the share of codewords decoded without error (measured with random bits over the
    same channel) times the semantic accuracy of the stills that fit. The images are those by which `kbsc` selects its
    best epoch, or 200 of them.

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
        """Semantic accuracy on validation images if every payload of at most `num_bytes` is received."""
        if num_bytes not in self._accuracies:
            validation = self._validation
            fits = validation.source.fits(num_bytes)
            num_correct = 0
            if fits.any():
                entries, _ = validation.index.search(validation.source.features(num_bytes)[fits], num_matches=1)
                num_correct = int(np.count_nonzero(validation.kb_labels[entries[:, 0]] == validation.labels[fits]))
            self._accuracies[num_bytes] = num_correct / len(fits)
        return self._accuracies[num_bytes]

    def best(self, rate: Rate, conditions: LinkConditions) -> Mode | None:
        """The mode of the highest expected accuracy; None if it is 0 for all."""
        key = rate.num_symbols, conditions
        if key not in self._chosen:
            expected: dict[Mode, float] = {}
            for mode in modes(rate.num_symbols):
                share = decoded_share(mode, conditions)
                if not share:
                    break  # modes that carry more bits fail too
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


def decoded_share(mode: Mode, conditions: LinkConditions) -> float:
    """Share of a hundred codewords of random bits that are decoded without error, 0..1."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (_NUM_TRIAL_CODEWORDS, mode.num_bits), dtype=np.uint8)
    return float(np.mean(_is_decoded(bits, mode, conditions, rng)))


def _is_decoded(bits: Bits, mode: Mode, conditions: LinkConditions, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    if not len(bits):
        return np.zeros(0, dtype=bool)
    coder = CodedModulation(mode)
    decided = coder.demodulate(*transmit_and_equalize(coder.modulate(bits), conditions, rng))
    return np.asarray((decided == bits).all(axis=1))


class BpgLdpcLink(Link):
    """The reference at one rate.

    Parameters
    ----------
    source : the pictures to send
    choice : selects the mode for the conditions
    """

    def __init__(self, rate: Rate, source: StillSource, choice: ModeChoice) -> None:
        self.rate = rate
        self._source, self._choice = source, choice

    def mode(self, conditions: LinkConditions) -> str:
        """Name the modulation and code rate for these conditions, or "no mode"."""
        return str(self._choice.best(self.rate, conditions) or "no mode")

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every picture that fits, encode the decoded ones, and search for their features."""
        is_received = np.zeros(len(noiseless.features), dtype=bool)
        queries = noiseless.features[:0]
        if (mode := self._choice.best(self.rate, conditions)) is not None:
            payloads = [payload for payload in self._source.payloads(mode.num_bytes) if payload is not None]
            is_received[self._source.fits(mode.num_bytes)] = _is_decoded(
                pack_payloads(payloads, mode), mode, conditions, rng
            )
            # Without bit errors the payload is the sent one, so each still is decoded and encoded once for all SNRs.
            queries = self._source.features(mode.num_bytes)[is_received]
        return score_received(partial(score_retrieval, queries), is_received, noiseless)


def fit_bpg_ldpc(keys: Sequence[FitKey], context: FittingContext) -> Mapping[FitKey, FittedModel]:
    """Prepare the selection of modes on the training images, one for all rates and seeds."""
    choice = ModeChoice(context.images, context.data, context.encoder)
    return {key: FittedModel(choice, trained_on=context.data.source, key=context.data.key) for key in keys}


def bpg_ldpc_links(inputs: LinkInputs) -> MakeLink:
    """Links of `bpg-ldpc`, from a `ModeChoice`; all share the stills of the sent images."""

    @cache
    def source() -> StillSource:
        images = [inputs.images.image(number) for number in range(len(inputs.images))]
        return StillSource(images, inputs.encoder)

    def make(model: ModeChoice, rate: Rate, seed: int) -> Link:
        return BpgLdpcLink(rate, source(), model)

    return make
