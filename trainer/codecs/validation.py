"""What a fitted code keeps of its own training images' categories: the figure in a model set's manifest."""

from __future__ import annotations

import numpy as np

from engines.models.codebook import Codebook
from semlink.channel import ChannelModel
from semlink.rates import parse_rate
from trainer.codecs.fitting import FittedProjection
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split
from trainer.links.graph_link import Csi, LinkConditions
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.signal_link import SignalLink

__all__ = ["validation_accuracy"]

_SNR_DB = (-7.0, 0.0, 10.0)
_MOST_IMAGES = 2_000


def validation_accuracy(
    codebook: Codebook, training_data: TrainingFeatures, projection: FittedProjection | None, *, seed: int
) -> dict[str, float]:
    """Semantic accuracy at 64 symbols over AWGN, within the training set, of images that the fit did not see.

    The image encoder, and the threshold of energy_score, may have seen them: it is for comparing fits, not a promise.
    """
    _, sent, kept = (rows[:_MOST_IMAGES] for rows in paper_train_split(len(training_data.features), seed))
    names = np.asarray(training_data.categories)[training_data.labels]
    noiseless = NoiselessRetrieval.of(
        training_data.features[sent], names[sent], training_data.features[kept], names[kept]
    )
    link = SignalLink.nested(
        "", codebook, parse_rate("64"), noiseless, projection=projection.model if projection else None
    )
    measured = {"validation_ideal": round(noiseless.noiseless_accuracy, 4)}
    for snr_db in _SNR_DB:
        conditions = LinkConditions(ChannelModel.AWGN, snr_db, Csi.NOTHING)
        accuracy = link.retrieve(noiseless, conditions, np.random.default_rng(seed)).semantic_accuracy
        measured[f"validation_accuracy_64_symbols_{snr_db:g}_db"] = round(accuracy, 4)
    return measured
