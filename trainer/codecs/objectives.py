"""What `kbsc` may be trained to keep of features.

None of them sees a label; labels choose the best epoch, as in the paper, by the accuracy on validation images.

mse          every number: the mean squared error, as in arXiv 2504.01053.
similarity   whom an image resembles: the distribution of its similarities to a sample of the training images, by the
             query as by the feature itself. Source: SEED, Fang et al., ICLR 2021, which distils encoders so.
both         the sum of the two, the first as the squared distance.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

__all__ = ["SAMPLE_SIZE", "Objective", "objective_loss"]

Objective = Literal["mse", "similarity", "both"]

SAMPLE_SIZE = 1024
"""Training images that a batch is compared with."""

_TEMPERATURE = 0.1
"""Of the softmax over cosines; no other was tried."""


def objective_loss(
    objective: Objective, query: torch.Tensor, features: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor:
    """Loss of a batch, a scalar.

    Parameters
    ----------
    query : (batch, feature_dim) float32, what the decoder gave
    features : (batch, feature_dim) float32 of unit length, what was sent
    sample : (SAMPLE_SIZE, feature_dim) float32 of unit length; "mse" does not look at it
    """
    if objective == "mse":
        return (query - features).square().mean()
    wanted = functional.softmax(features @ sample.T / _TEMPERATURE, dim=1)
    given = functional.log_softmax(functional.normalize(query) @ sample.T / _TEMPERATURE, dim=1)
    loss = functional.kl_div(given, wanted, reduction="batchmean")
    return loss if objective == "similarity" else loss + (query - features).square().sum(dim=1).mean()
