"""`nested-feedback`: `nested` whose transmitter shares its power by the SNR that the receiver last reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_rx.decoders.ranking import RankedEntries
from edge_rx.noise import NoiseEstimator
from edge_tx.adaptation import is_high_snr
from engines.models.codebook import Codebook
from semlink.iq import normalize_power, pair_latent
from semlink.rates import Rate
from trainer.codecs.nested import NestedModel
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_ranked
from trainer.links.signal_link import SignalLink
from trainer.links.transmission import transmit_and_equalize

__all__ = ["FeedbackLink", "feedback_links"]

_IMAGES_PER_REPORT = 64
"""At 128 images a second a report comes every half second, as `edge_rx.reporter` sends them."""


@dataclass(frozen=True, eq=False)
class FeedbackLink(Link):
    """Both power shares of one codebook at one rate.

    The report is the receiver's estimate, to a tenth of a decibel, and it is old: it holds for the images up to
    the next report. The first images of a stream are sent without any report.

    Attributes
    ----------
    low_snr, high_snr : links with the power shares for an unreported or low SNR, and for a reported high one
    report_error_db : added to every report, to measure what a wrong report costs [dB]
    """

    rate: Rate
    low_snr: SignalLink
    high_snr: SignalLink
    report_error_db: float = 0.0

    @classmethod
    def of(
        cls, codebook: Codebook, rate: Rate, noiseless: NoiselessRetrieval, *, report_error_db: float = 0.0
    ) -> FeedbackLink:
        """Prepare for one knowledge base."""
        return cls(
            rate,
            low_snr=SignalLink.nested(codebook, rate, noiseless),
            high_snr=SignalLink.nested(codebook.for_high_snr(), rate, noiseless),
            report_error_db=report_error_db,
        )

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image as one stream, in order, and score the detected entries."""
        estimator, ranked = NoiseEstimator(), list[RankedEntries]()
        reported_db: float | None = None
        for start in range(0, len(noiseless.features), _IMAGES_PER_REPORT):
            is_high = self._reports_high_snr(reported_db, expects_fades=conditions.num_pilots > 0)
            link = self.high_snr if is_high else self.low_snr
            latent = link.encode(noiseless.features[start : start + _IMAGES_PER_REPORT])[:, : self.rate.latent_dim]
            symbols, noise = transmit_and_equalize(
                normalize_power(pair_latent(latent)), conditions, rng, estimator=estimator
            )
            ranked += link.search.ranked(symbols, noise)
            reported_db = None if estimator.snr_db is None else round(estimator.snr_db, 1)
        return score_ranked(ranked, noiseless)

    def _reports_high_snr(self, reported_db: float | None, *, expects_fades: bool) -> bool:
        if reported_db is None:
            return False
        return is_high_snr(self.rate, reported_db + self.report_error_db, expects_fades=expects_fades)


def feedback_links(inputs: LinkInputs) -> MakeLink:
    """Links of `nested-feedback`, from the `NestedModel` of `nested`."""

    def make(model: NestedModel, rate: Rate, seed: int) -> Link:
        return FeedbackLink.of(model.codebook, rate, inputs.noiseless)

    return make
