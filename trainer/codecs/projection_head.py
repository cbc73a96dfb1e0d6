"""Train the projection head: features -> projected features, which are close together within a category.

Both ends use it: the transmitter encodes an image's projected features in place of its features, the receiver
projects its entries. Training gives one proxy for each category and a network that maps images near their
category's proxy: normalised softmax (Zhai and Wu, "Classification is a strong baseline for deep metric learning",
BMVC 2019; proxies: Movshovitz-Attias et al., ICCV 2017). Noise on the features augments the training images.

A projection head does not generalise: for categories outside its training set, retrieval by projected features is
worse than by features. Hence two codecs, `nested` for any pictures and `nested-labels` for a known domain.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

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
from trainer.codecs.config import Precision, ProjectionLoss
from trainer.codecs.run_lock import locked_run
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split

__all__ = [
    "ProjectionNetwork",
    "ProjectionTraining",
    "contrastive_loss",
    "projection_graph",
    "train_projection_network",
    "trained_projection",
]

FIT_VERSION = 3
"""Raise it with every change of this code that changes the trained network."""

_MIN_BATCHES = 40
"""Fewest batches that an epoch should have."""


class ProjectionTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one training run of a projection head.

    Attributes
    ----------
    loss : "proxy", the softmax over proxies; or "contrastive", the supervised loss of Khosla et al. (NeurIPS 2020),
        after which a category's proxy is the mean of its images' projected features
    temperature : of the softmax; a lower one makes it sharper
    feature_noise : standard deviation, in each dimension, of the noise added to the unit features
    precision : arithmetic of the matrix products; "bf16" is faster on CPUs that have it
    """

    seed: int = 0
    loss: ProjectionLoss = "proxy"
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
    precision: Precision = "bf16"

    def __post_init__(self) -> None:
        if min(self.epochs, self.projection_dim, self.hidden_dim) < 1 or self.batch_size < 2 or self.temperature <= 0:
            raise ConfigError(
                "epochs, projection_dim and hidden_dim must be 1 or more, batch_size 2 or more, temperature positive,"
                f" got {self.epochs}, {self.projection_dim}, {self.hidden_dim}, {self.batch_size}, {self.temperature}"
            )

    def key(self, data: TrainingFeatures) -> str:
        """Name of the run's file: unique for these values, this version of the code, and these labelled images."""
        named = msgspec.json.encode([self, data.content_key, data.categories, FIT_VERSION])
        return f"projection-seed{self.seed}-{hashlib.sha256(named + data.labels.tobytes()).hexdigest()[:10]}"

    def graph_path(self, data: TrainingFeatures, runs: Path) -> Path:
        """File of the trained network's graph; the file of its proxies is beside it."""
        return runs / f"{self.key(data)}.onnx"

    @classmethod
    def for_images(
        cls, seed: int, num_images: int, *, precision: Precision, loss: ProjectionLoss
    ) -> ProjectionTraining:
        """Settings for a training set: smaller batches if there are fewer images than CIFAR-100's 50,000."""
        return cls(seed, loss, batch_size=max(8, min(256, num_images // _MIN_BATCHES)), precision=precision)


class ProjectionNetwork(nn.Module):
    """One hidden layer beside a linear path; the output has unit length."""

    def __init__(self, feature_dim: int, training: ProjectionTraining) -> None:
        super().__init__()
        self.hidden = nn.Linear(feature_dim, training.hidden_dim)
        self.norm = nn.BatchNorm1d(training.hidden_dim)
        self.dropout = nn.Dropout(training.dropout)
        self.out = nn.Linear(training.hidden_dim, training.projection_dim)
        self.skip = nn.Linear(feature_dim, training.projection_dim, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, feature_dim) -> (batch, projection_dim)."""
        hidden = self.dropout(functional.relu(self.norm(self.hidden(features))))
        return functional.normalize((self.out(hidden) + self.skip(features)).float(), dim=1)


def trained_projection(training: ProjectionTraining, data: TrainingFeatures, runs: Path) -> ProjectionHead:
    """Train on the training part of `data`, or read an earlier run from `runs`."""
    graph = training.graph_path(data, runs)
    proxies = graph.with_suffix(".npz")
    with locked_run(graph):
        # The graph is written last, so where it is the proxies are too.
        if not graph.exists():
            train, *_ = paper_train_split(len(data.features), training.seed)
            network, trained_proxies = train_projection_network(
                training, data.features[train], data.labels[train], num_categories=len(data.categories)
            )
            with replaced_file(proxies) as temporary, temporary.open("wb") as file:
                np.savez(file, proxies=trained_proxies)
            with replaced_file(graph) as temporary:
                temporary.write_bytes(projection_graph(network).SerializeToString())
    stored = load_arrays(proxies, ["proxies"], what="a projection head's proxies")
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
    network : features -> projected features
    proxies : (categories, projection_dim) float32, unit length

    Raises
    ------
    DatasetError
        If there are fewer than two categories, too few images, or features that are not finite.
    """
    if len(np.unique(labels)) < 2:
        raise DatasetError("a projection head needs training images of at least 2 categories")
    if len(features) < 2 * training.batch_size:
        raise DatasetError(f"{len(features)} images are too few: a projection head needs {2 * training.batch_size}")
    if not np.isfinite(features).all():
        raise DatasetError("features to train a projection head on hold values that are not finite")
    inputs, targets = torch.from_numpy(np.ascontiguousarray(features)), torch.from_numpy(labels)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one order of summation, so that the result does not depend on the number of cores
    try:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            network = ProjectionNetwork(features.shape[1], training)
            proxies = nn.Parameter(0.05 * torch.randn(num_categories, training.projection_dim))
            _fit(network, proxies, inputs, targets, training)
    finally:
        torch.set_num_threads(num_threads)
    network.eval()
    directions = (
        proxies.detach() if training.loss == "proxy" else _category_sums(network, inputs, targets, num_categories)
    )
    return network, functional.normalize(directions, dim=1).numpy()


@torch.no_grad()
def _category_sums(
    network: ProjectionNetwork, inputs: torch.Tensor, targets: torch.Tensor, num_categories: int
) -> torch.Tensor:
    """Sum of each category's projected features, whose direction is that of the mean; (categories, projection_dim)."""
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
                loss = contrastive_loss(projection, targets[rows], training.temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def contrastive_loss(projection: torch.Tensor, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    """Supervised contrastive loss L_out of Khosla et al., eq. 2, a scalar.

    Parameters
    ----------
    projection : (batch, projection_dim) float32, unit length
    targets : (batch,) int64, categories; an image that is the only one of its category does not count
    """
    itself = torch.eye(len(projection), dtype=torch.bool)
    similarity = (projection @ projection.T / temperature).masked_fill(itself, -torch.inf)
    log_share = similarity - similarity.logsumexp(dim=1, keepdim=True)
    is_positive = (targets[:, None] == targets[None, :]) & ~itself
    num_positive = is_positive.sum(dim=1)
    mean = log_share.masked_fill(~is_positive, 0.0).sum(dim=1) / num_positive.clamp_min(1)
    return -(mean[num_positive > 0]).mean() if bool((num_positive > 0).any()) else 0.0 * similarity[~itself].sum()


def projection_graph(network: ProjectionNetwork) -> onnx.ModelProto:
    """ONNX graph from features (batch, feature_dim) to projected features (batch, projection_dim).

    Batch normalisation is folded into the hidden layer and weights are stored as fp16. Names within the graph are
    those of earlier model sets, so that the same training gives the same bytes and hash.
    """
    norm = network.norm
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weights = {
        "hidden_weight": network.hidden.weight * scale[:, None],
        "hidden_bias": (network.hidden.bias - norm.running_mean) * scale + norm.bias,
        "out_weight": network.out.weight,
        "out_bias": network.out.bias,
        "straight_weight": network.skip.weight,
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
