"""What loss, width and learning rate do to the key network."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import torch

from benchmarks.studies.context import SEEDS, StudyContext
from benchmarks.studies.report import Point
from trainer.codecs.projection_head import ProjectionNetwork, ProjectionTraining, train_projection_network
from trainer.datasets.cifar100 import paper_train_split
from trainer.links.retrieval import NoiselessRetrieval

__all__ = ["hyperparameters"]


def hyperparameters(bench: StudyContext) -> Iterator[Point]:
    """Loss, width and learning rate of the key network, one changed at a time."""
    noiseless = bench.noiseless(bench.cifar100)
    base = ProjectionTraining()
    variants = {
        "as shipped": base,
        "contrastive loss": msgspec.structs.replace(base, loss="contrastive"),
        "width 256": msgspec.structs.replace(base, hidden_dim=256),
        "width 2048": msgspec.structs.replace(base, hidden_dim=2048),
        "rate 5e-4": msgspec.structs.replace(base, learning_rate=5e-4),
        "rate 8e-3": msgspec.structs.replace(base, learning_rate=8e-3),
        "temperature 0.05": msgspec.structs.replace(base, temperature=0.05),
        "temperature 0.2": msgspec.structs.replace(base, temperature=0.2),
    }
    features = noiseless.index.vectors(0, len(noiseless.index))
    for name, training in variants.items():
        for seed in SEEDS:
            training_data = bench.training_data
            train, *_ = paper_train_split(len(training_data.features), seed)
            network, proxies = train_projection_network(
                msgspec.structs.replace(training, seed=seed),
                training_data.features[train],
                training_data.labels[train],
                num_categories=len(training_data.categories),
            )
            yield Point("nearest key, no channel", name, seed, _key_accuracy(network, features, noiseless))
            yield Point("nearest proxy (classifier)", name, seed, _proxy_accuracy(network, proxies, bench, noiseless))


def _keys(network: ProjectionNetwork, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        projection: np.ndarray = network(torch.from_numpy(np.ascontiguousarray(features))).numpy()
    return projection


def _key_accuracy(network: ProjectionNetwork, features: np.ndarray, noiseless: NoiselessRetrieval) -> float:
    """Without the labels of the entries, so that the network alone is what differs."""
    nearest = (_keys(network, noiseless.features) @ _keys(network, features).T).argmax(axis=1)
    return float(np.mean(noiseless.kb_labels[nearest] == noiseless.labels))


def _proxy_accuracy(
    network: ProjectionNetwork, proxies: np.ndarray, bench: StudyContext, noiseless: NoiselessRetrieval
) -> float:
    classes = np.asarray(bench.training_data.categories)[
        (_keys(network, noiseless.features) @ proxies.T).argmax(axis=1)
    ]
    return float(np.mean(classes == noiseless.labels))
