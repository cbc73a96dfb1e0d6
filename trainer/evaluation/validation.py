"""Semantic accuracy of a fitted nested code within its own training set: the figure in a model set's manifest."""

from __future__ import annotations

import numpy as np

from semlink.channel import ChannelModel
from semlink.rates import parse_rate
from trainer.codecs.nested import NestedModel
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split
from trainer.links.conditions import Csi, LinkConditions
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.signal_link import SignalLink

__all__ = ["validation_accuracy"]

_SNR_DB = (-7.0, 0.0, 10.0)
_MAX_IMAGES = 2_000


def validation_accuracy(model: NestedModel, data: TrainingFeatures, *, seed: int) -> dict[str, float]:
    """Semantic accuracy at 64 symbols over AWGN, of training images to which the code was not fitted.

    The image encoder and the threshold of the energy score may have been fitted to them, so the value compares fits
    and does not predict the accuracy on other images.

    Returns
    -------
    measured : name in the manifest to a share in 0..1
    """
    _, sent, kept = (rows[:_MAX_IMAGES] for rows in paper_train_split(len(data.features), seed))
    names = np.asarray(data.categories)[data.labels]
    noiseless = NoiselessRetrieval.of(data.features[sent], names[sent], data.features[kept], names[kept])
    link = SignalLink.nested(model.codebook, parse_rate("64"), noiseless, projection=model.projection)
    measured = {"validation_noiseless": round(noiseless.accuracy, 4)}
    for snr_db in _SNR_DB:
        conditions = LinkConditions(ChannelModel.AWGN, snr_db, Csi.NOTHING)
        accuracy = link.retrieve(noiseless, conditions, np.random.default_rng(seed)).semantic_accuracy
        measured[f"validation_accuracy_64_symbols_{snr_db:g}_db"] = round(accuracy, 4)
    return measured
