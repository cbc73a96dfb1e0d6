"""What loss, width and learning rate do to the key network."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import torch

from benchmarks.studies.context import SEEDS, Workbench
from benchmarks.studies.report import Point
from trainer.codecs.projection_head import KeyNetwork, KeyTraining, train_key_network
from trainer.datasets.cifar100 import paper_train_split
from trainer.links.retrieval import CleanRetrieval

__all__ = ["hyperparameters"]


def hyperparameters(bench: Workbench) -> Iterator[Point]:
    """Loss, width and learning rate of the key network, one changed at a time."""
    clean = bench.clean(bench.cifar100)
    base = KeyTraining()
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
    features = clean.index.vectors(0, len(clean.index))
    for name, training in variants.items():
        for seed in SEEDS:
            learning = bench.learning
            train, *_ = paper_train_split(len(learning.features), seed)
            network, proxies = train_key_network(
                msgspec.structs.replace(training, seed=seed),
                learning.features[train],
                learning.labels[train],
                num_categories=len(learning.categories),
            )
            yield Point("nearest key, no channel", name, seed, _key_accuracy(network, features, clean))
            yield Point("nearest proxy (classifier)", name, seed, _proxy_accuracy(network, proxies, bench, clean))


def _keys(network: KeyNetwork, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        keys: np.ndarray = network(torch.from_numpy(np.ascontiguousarray(features))).numpy()
    return keys


def _key_accuracy(network: KeyNetwork, features: np.ndarray, clean: CleanRetrieval) -> float:
    """Without the labels of the entries, so that the network alone is what differs."""
    nearest = (_keys(network, clean.features) @ _keys(network, features).T).argmax(axis=1)
    return float(np.mean(clean.kb_labels[nearest] == clean.labels))


def _proxy_accuracy(network: KeyNetwork, proxies: np.ndarray, bench: Workbench, clean: CleanRetrieval) -> float:
    classes = np.asarray(bench.learning.categories)[(_keys(network, clean.features) @ proxies.T).argmax(axis=1)]
    return float(np.mean(classes == clean.labels))
