"""`nested` with a link back: its transmitter shares the power by the SNR that the receiver last reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_rx.decoders.ranking import RankedEntries
from edge_rx.noise import NoiseEstimator
from edge_tx.adaptation import is_high_snr
from engines.models.codebook import Codebook
from semlink.iq import normalize_power, pair_latent
from semlink.rates import Rate
from trainer.links.graph_link import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_ranked
from trainer.links.signal_link import SignalLink, transmit_and_equalize

__all__ = ["FeedbackLink"]

_IMAGES_PER_REPORT = 64
"""At 128 images a second a report comes every half second, as `edge_rx.reporter` sends them."""


@dataclass(frozen=True, eq=False)
class FeedbackLink:
    """Both codes of one codebook at one rate.

    What is reported is what the receiver estimates, to a tenth of a decibel, and it is old: the images up to the next
    report are sent by it, the first of a stream without any.

    Attributes
    ----------
    blind, clear : as it is sent without reports, and over a channel that is reported to be clear
    report_error_db : what is added to every report, to see what a wrong one costs [dB]
    """

    blind: SignalLink
    clear: SignalLink
    report_error_db: float = 0.0

    @classmethod
    def of(
        cls, name: str, codebook: Codebook, rate: Rate, noiseless: NoiselessRetrieval, *, report_error_db: float = 0.0
    ) -> FeedbackLink:
        """Prepare for the knowledge base that `clean` retrieves from."""
        return cls(
            blind=SignalLink.nested(name, codebook, rate, noiseless),
            clear=SignalLink.nested(name, codebook.for_high_snr(), rate, noiseless),
            report_error_db=report_error_db,
        )

    @property
    def name(self) -> str:
        """The codec's."""
        return self.blind.name

    @property
    def rate(self) -> Rate:
        """Symbols of an image."""
        return self.blind.rate

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        """Send every image as one stream, in order, and score what comes back."""
        estimator, ranked = NoiseEstimator(), list[RankedEntries]()
        reported_db: float | None = None
        for start in range(0, len(noiseless.features), _IMAGES_PER_REPORT):
            link = (
                self.clear
                if self._reports_high_snr(reported_db, expects_fades=conditions.num_pilots > 0)
                else self.blind
            )
            latent = link.transmit(noiseless.features[start : start + _IMAGES_PER_REPORT])[:, : self.rate.latent_dim]
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
