"""The paper's codec: two mirrored multilayer perceptrons (arXiv 2504.01053, section III).

    features (512) --Linear 384, ReLU, Linear k, BatchNorm--> latent (k)
    received latent (k) --Linear 384, ReLU, Linear 512, BatchNorm--> query (512)

`kbsc-reference` and `kbsc` share this network; they differ in the channel between its halves.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["HIDDEN_DIM", "KbscNetwork", "fold_batch_norm"]

HIDDEN_DIM = 384


class KbscNetwork(nn.Module):
    """Encoder and decoder of one rate.

    Parameters
    ----------
    feature_dim : length of the image encoder's features
    latent_dim : k, twice the number of symbols
    """

    def __init__(self, feature_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = _perceptron(feature_dim, latent_dim)
        self.decoder = _perceptron(latent_dim, feature_dim)


def _perceptron(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_dim, HIDDEN_DIM), nn.ReLU(), nn.Linear(HIDDEN_DIM, out_dim), nn.BatchNorm1d(out_dim)
    )


def fold_batch_norm(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the one Linear that equals `linear` followed by `norm` in evaluation mode."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = linear.weight * scale[:, None]
    bias = (linear.bias - norm.running_mean) * scale + norm.bias
    return weight.detach(), bias.detach()
