"""The base class of links, and the inputs that links are made from."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from edge_rx.decoders.options import Answer, DecoderOptions
from semlink.rates import Rate
from trainer.datasets.base import ImageList
from trainer.features import FeatureEncoder
from trainer.links.conditions import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores

__all__ = ["Link", "LinkInputs", "MakeLink"]


class Link(abc.ABC):
    """A codec at one rate, from the sent images' features to the scores of what the receiver retrieves.

    Attributes
    ----------
    rate : complex symbols for each image
    """

    rate: Rate

    @abc.abstractmethod
    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image, retrieve an entry for each, and score them.

        Parameters
        ----------
        noiseless : the images to send and the knowledge base
        conditions : channel, SNR and CSI
        rng : source of noise and gains; the same generator state gives the same scores
        """

    def mode(self, conditions: LinkConditions) -> str | None:
        """Name the transmission mode chosen for these conditions, for the report; None if there is no choice."""
        return None


@dataclass(frozen=True, eq=False)
class LinkInputs:
    """Inputs of the links of one evaluation, besides the fitted models.

    Attributes
    ----------
    noiseless : the images to send, by their features, and the knowledge base
    images : the same images as pictures, in the same order
    encoder : the receiver's image encoder, for a codec that sends pictures
    answer : what receivers answer with, see `edge_rx.decoders.options.Answer`; None for what each codec was published
        with: the most probable label for `adapted`, the nearest entry for the others
    """

    noiseless: NoiselessRetrieval
    images: ImageList
    encoder: FeatureEncoder
    answer: Answer | None = None

    def receiver(self, published: Answer = "nearest") -> DecoderOptions:
        """Options of a receiver with this answer, or else the published one."""
        return DecoderOptions(answer=self.answer or published)


MakeLink: TypeAlias = Callable[[Any, Rate, int], Link]
"""Makes a link from (fitted model or None, rate, seed)."""
