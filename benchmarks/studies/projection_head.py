"""Study of the projection head: loss, width, learning rate and temperature."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import torch

from benchmarks.report.schemas import Point
from benchmarks.studies.context import SEEDS, StudyContext
from trainer.codecs.projection_head import ProjectionNetwork, ProjectionTraining, train_projection_network
from trainer.datasets.cifar100 import paper_train_split
from trainer.links.retrieval import NoiselessRetrieval

__all__ = ["hyperparameters"]


def hyperparameters(context: StudyContext) -> Iterator[Point]:
    """One hyperparameter of the projection head changed at a time."""
    noiseless = context.noiseless(context.cifar100)
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
    kb_features = noiseless.index.vectors(0, len(noiseless.index))
    for name, training in variants.items():
        for seed in SEEDS:
            training_data = context.training_data
            train, *_ = paper_train_split(len(training_data.features), seed)
            network, proxies = train_projection_network(
                msgspec.structs.replace(training, seed=seed),
                training_data.features[train],
                training_data.labels[train],
                num_categories=len(training_data.categories),
            )
            entry_accuracy = _entry_accuracy(network, kb_features, noiseless)
            yield Point("nearest entry by projected features", name, seed, entry_accuracy)
            proxy_accuracy = _proxy_accuracy(network, proxies, context, noiseless)
            yield Point("nearest proxy (classifier)", name, seed, proxy_accuracy)


def _project(network: ProjectionNetwork, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        projected: np.ndarray = network(torch.from_numpy(np.ascontiguousarray(features))).numpy()
    return projected


def _entry_accuracy(network: ProjectionNetwork, kb_features: np.ndarray, noiseless: NoiselessRetrieval) -> float:
    """Accuracy without the labels of the entries, so that the network alone is compared."""
    nearest = (_project(network, noiseless.features) @ _project(network, kb_features).T).argmax(axis=1)
    return float(np.mean(noiseless.kb_labels[nearest] == noiseless.labels))


def _proxy_accuracy(
    network: ProjectionNetwork, proxies: np.ndarray, context: StudyContext, noiseless: NoiselessRetrieval
) -> float:
    nearest = (_project(network, noiseless.features) @ proxies.T).argmax(axis=1)
    return float(np.mean(np.asarray(context.training_data.categories)[nearest] == noiseless.labels))
