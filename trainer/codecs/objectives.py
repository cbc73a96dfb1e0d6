"""Training losses of `kbsc`, none of which uses a label.

mse          the mean squared error of the features, as in arXiv 2504.01053.
similarity   the cross entropy between the distributions of an image's similarities to a sample of training images, by
             its features and by the received query. Source: SEED, Fang et al., ICLR 2021, which distils encoders so.
both         the sum of the two, with the squared distance in place of the mean squared error.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from trainer.codecs.config import Objective

__all__ = ["SAMPLE_SIZE", "objective_loss"]

SAMPLE_SIZE = 1024
"""Training images with which a batch is compared."""

_TEMPERATURE = 0.1
"""Of the softmax over cosines; no other value was tried."""


def objective_loss(
    objective: Objective, query: torch.Tensor, features: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor:
    """Loss of a batch, a scalar.

    Parameters
    ----------
    query : (batch, feature_dim) float32, output of the decoder
    features : (batch, feature_dim) float32 of unit length, input of the encoder
    sample : (SAMPLE_SIZE, feature_dim) float32 of unit length; unused by "mse"
    """
    if objective == "mse":
        return (query - features).square().mean()
    target = functional.softmax(features @ sample.T / _TEMPERATURE, dim=1)
    predicted = functional.log_softmax(functional.normalize(query) @ sample.T / _TEMPERATURE, dim=1)
    loss = functional.kl_div(predicted, target, reduction="batchmean")
    return loss if objective == "similarity" else loss + (query - features).square().sum(dim=1).mean()
