"""The key network: features -> keys, a space in which images of one category lie together.

Both ends use it: the transmitter encodes an image's key in place of its features, the receiver holds
its entries' keys. What is learnt is one proxy for each category and a network that brings images to
theirs: normalised softmax (Zhai and Wu, "Classification is a strong baseline for deep metric
learning", BMVC 2019; proxies: Movshovitz-Attias et al., ICCV 2017). Noise on the features stands for
other pictures of the same thing.

Keys do not travel: among categories that it never met, the network is worse than none. Hence two
kinds of set, `nested` for anything and `nested-labels` for a known domain.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import torch
from torch import nn
from torch.nn import functional

from engines.backends.runner import load_runner
from engines.models.arrays import FloatArray, load_arrays
from engines.models.projection_head import ProjectionHead
from engines.onnx_model import IR_VERSION, OPSET
from semlink.errors import ConfigError, DatasetError
from semlink.files import replaced_file
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split

__all__ = [
    "FIT_VERSION",
    "ProjectionNetwork",
    "ProjectionTraining",
    "projection_graph",
    "train_projection_network",
    "trained_projection",
]

FIT_VERSION = 3
"""Raise it with every change of this code that changes what is learnt."""


_BATCHES = 40
"""Batches that an epoch should have at least."""


class ProjectionTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run of a key network, complete.

    Attributes
    ----------
    loss : "proxy", the softmax over proxies; or "contrastive", the supervised one of Khosla et al. (NeurIPS 2020),
        after which a category's proxy is the mean of its images' keys
    temperature : of the softmax; lower sharpens
    feature_noise : standard deviation, in each dimension, of what is added to the unit features
    precision : arithmetic of the matrix products; "bf16" is the faster where the CPU has it
    """

    seed: int = 0
    loss: Literal["proxy", "contrastive"] = "proxy"
    projection_dim: int = 256
    hidden_dim: int = 1024
    epochs: int = 15
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    temperature: float = 0.1
    label_smoothing: float = 0.1
    feature_noise: float = 0.03
    precision: Literal["bf16", "fp32"] = "bf16"

    def __post_init__(self) -> None:
        if min(self.epochs, self.projection_dim, self.hidden_dim) < 1 or self.batch_size < 2 or self.temperature <= 0:
            raise ConfigError(
                "epochs, projection_dim and hidden_dim must be at least 1, batch_size at least 2 and temperature"
                " positive,"
                f" got {self.epochs}, {self.projection_dim}, {self.hidden_dim}, {self.batch_size}, {self.temperature}"
            )

    def key(self, data: TrainingFeatures) -> str:
        """Name of the run's file: unique for these values, this recipe, and these images with their labels."""
        named = msgspec.json.encode([self, data.content_key, data.categories, FIT_VERSION])
        return f"keys-seed{self.seed}-{hashlib.sha256(named + data.labels.tobytes()).hexdigest()[:10]}"

    def graph_path(self, data: TrainingFeatures, runs: Path) -> Path:
        """Where the trained network's graph lies; its proxies are beside it."""
        return runs / f"{self.key(data)}.onnx"

    @classmethod
    def for_images(
        cls, seed: int, num_images: int, *, precision: Literal["bf16", "fp32"], loss: Literal["proxy", "contrastive"]
    ) -> ProjectionTraining:
        """What suits a training set: smaller batches where there are fewer images than in CIFAR-100."""
        return cls(seed, loss, batch_size=max(8, min(256, num_images // _BATCHES)), precision=precision)


class ProjectionNetwork(nn.Module):
    """One hidden layer beside a straight path; keys of unit length."""

    def __init__(self, feature_dim: int, training: ProjectionTraining) -> None:
        super().__init__()
        self.hidden = nn.Linear(feature_dim, training.hidden_dim)
        self.norm = nn.BatchNorm1d(training.hidden_dim)
        self.dropout = nn.Dropout(training.dropout)
        self.out = nn.Linear(training.hidden_dim, training.projection_dim)
        self.straight = nn.Linear(feature_dim, training.projection_dim, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, feature_dim) -> (batch, projection_dim)."""
        hidden = self.dropout(functional.relu(self.norm(self.hidden(features))))
        return functional.normalize((self.out(hidden) + self.straight(features)).float(), dim=1)


def trained_projection(training: ProjectionTraining, data: TrainingFeatures, runs: Path) -> ProjectionHead:
    """Train on the training part of `data`, or read what an earlier run left in `runs`."""
    graph = training.graph_path(data, runs)
    proxies = graph.with_suffix(".npz")
    # The graph is written last, so where it is the proxies are too.
    if not graph.exists():
        train, *_ = paper_train_split(len(data.features), training.seed)
        network, learnt = train_projection_network(
            training, data.features[train], data.labels[train], num_categories=len(data.categories)
        )
        runs.mkdir(parents=True, exist_ok=True)
        with replaced_file(proxies) as temporary, temporary.open("wb") as file:
            np.savez(file, proxies=learnt)
        with replaced_file(graph) as temporary:
            temporary.write_bytes(projection_graph(network).SerializeToString())
    stored = load_arrays(proxies, ["proxies"], what="a key network's proxies")
    return ProjectionHead(load_runner(graph), data.categories, stored["proxies"])


def train_projection_network(
    training: ProjectionTraining, features: FloatArray, labels: np.ndarray, *, num_categories: int
) -> tuple[ProjectionNetwork, FloatArray]:
    """Train; the same values and data give the same network on one machine.

    Parameters
    ----------
    features : (n, feature_dim) float32, of unit length
    labels : (n,) int64, below `num_categories`

    Returns
    -------
    network : features -> keys
    proxies : (categories, projection_dim) float32, unit length

    Raises
    ------
    DatasetError
        If there are fewer than two categories, too few images, or features that are not finite.
    """
    if len(np.unique(labels)) < 2:
        raise DatasetError("learning keys needs images of at least 2 categories")
    if len(features) < 2 * training.batch_size:
        raise DatasetError(f"{len(features)} images are too few: keys need {2 * training.batch_size}")
    if not np.isfinite(features).all():
        raise DatasetError("features to learn keys from hold values that are not finite")
    inputs, targets = torch.from_numpy(np.ascontiguousarray(features)), torch.from_numpy(labels)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums come in one order, whatever the machine does besides
    try:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            network = ProjectionNetwork(features.shape[1], training)
            proxies = nn.Parameter(0.05 * torch.randn(num_categories, training.projection_dim))
            _fit(network, proxies, inputs, targets, training)
    finally:
        torch.set_num_threads(num_threads)
    network.eval()
    learnt = proxies.detach() if training.loss == "proxy" else _mean_keys(network, inputs, targets, num_categories)
    return network, functional.normalize(learnt, dim=1).numpy()


@torch.no_grad()
def _mean_keys(
    network: ProjectionNetwork, inputs: torch.Tensor, targets: torch.Tensor, num_categories: int
) -> torch.Tensor:
    """Sum of each category's keys, which points where their mean does; (categories, projection_dim)."""
    sums = torch.zeros(num_categories, network.out.out_features)
    for rows in torch.arange(len(inputs)).split(4096):
        sums.index_add_(0, targets[rows], network(inputs[rows]))
    return sums


def _fit(
    network: ProjectionNetwork,
    proxies: nn.Parameter,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    training: ProjectionTraining,
) -> None:
    steps_per_epoch = len(inputs) // training.batch_size
    optimizer = torch.optim.AdamW(
        [*network.parameters(), proxies], lr=training.learning_rate, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=training.epochs * steps_per_epoch
    )
    network.train()
    for _ in range(training.epochs):
        order = torch.randperm(len(inputs))
        for rows in order.split(training.batch_size)[:steps_per_epoch]:
            noisy = inputs[rows] + training.feature_noise * torch.randn_like(inputs[rows])
            with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
                projection = network(functional.normalize(noisy, dim=1))
            if training.loss == "proxy":
                similarity = projection @ functional.normalize(proxies, dim=1).T
                loss = functional.cross_entropy(
                    similarity / training.temperature, targets[rows], label_smoothing=training.label_smoothing
                )
            else:
                loss = _contrastive_loss(projection, targets[rows], training.temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _contrastive_loss(projection: torch.Tensor, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    """Every image's others of its category against all others of the batch; L_out of Khosla et al., eq. 2."""
    itself = torch.eye(len(projection), dtype=torch.bool)
    similarity = (projection @ projection.T / temperature).masked_fill(itself, -torch.inf)
    log_share = similarity - similarity.logsumexp(dim=1, keepdim=True)
    is_positive = (targets[:, None] == targets[None, :]) & ~itself
    num_positive = is_positive.sum(dim=1)
    mean = log_share.masked_fill(~is_positive, 0.0).sum(dim=1) / num_positive.clamp_min(1)
    return -(mean[num_positive > 0]).mean() if bool((num_positive > 0).any()) else 0.0 * similarity[~itself].sum()


def projection_graph(network: ProjectionNetwork) -> onnx.ModelProto:
    """features (batch, feature_dim) -> key (batch, projection_dim), batch normalisation folded, weights in fp16."""
    norm = network.norm
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weights = {
        "hidden_weight": network.hidden.weight * scale[:, None],
        "hidden_bias": (network.hidden.bias - norm.running_mean) * scale + norm.bias,
        "out_weight": network.out.weight,
        "out_bias": network.out.bias,
        "straight_weight": network.straight.weight,
    }
    casts = "\n".join(f"{name} = Cast <to = {onnx.TensorProto.FLOAT}> ({name}_fp16)" for name in weights)
    model = onnx.parser.parse_model(f"""
        <ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>
        key_network (float[batch, {network.hidden.in_features}] features)
            => (float[batch, {network.out.out_features}] key)
        <int64[1] one_image = {{1}}, float floor = {{1.17549435e-38}}>
        {{
            {casts}
            hidden = Gemm <transB = 1> (features, hidden_weight, hidden_bias)
            active = Relu (hidden)
            bent = Gemm <transB = 1> (active, out_weight, out_bias)
            sum = Gemm <transB = 1> (features, straight_weight, bent)
            length = ReduceL2 <keepdims = 1> (sum, one_image)
            safe_length = Max (length, floor)
            key = Div (sum, safe_length)
        }}
    """)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(weight.detach().numpy().astype(np.float16), f"{name}_fp16")
        for name, weight in weights.items()
    )
    onnx.checker.check_model(model)
    return model
