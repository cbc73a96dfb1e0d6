"""Nearest-neighbour accuracy of an image encoder, without codec and channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.progress import Progress

from edge_rx.kb.index import FlatIndex
from engines.models.image_encoder import Features, ImageEncoder
from engines.models.manifest import EncoderEntry
from engines.models.model_set import ModelSet
from trainer.datasets import Dataset, open_dataset
from trainer.features import cached_features
from trainer.model_set_writer import set_encoder

__all__ = ["measure_model_set", "retrieval_accuracy"]


def retrieval_accuracy(dataset: Dataset, sent: Features, knowledge_base: Features) -> float:
    """Fraction of the sent images whose nearest neighbour by cosine has their label."""
    sent_labels, kb_labels = (np.asarray(images.labels) for images in (dataset.sent, dataset.knowledge_base))
    index = FlatIndex(knowledge_base.shape[1])
    index.add(knowledge_base)
    entries, _ = index.search(sent, num_matches=1)
    return float(np.mean(kb_labels[entries[:, 0]] == sent_labels))


def measure_model_set(
    model_set: ModelSet,
    datasets: Sequence[str],
    *,
    data_folder: Path | None = None,
    num_threads: int = 1,
    progress: Progress | None = None,
) -> EncoderEntry:
    """Measure a model set's encoder on datasets, and write the accuracies into its manifest.

    Parameters
    ----------
    datasets : as `trainer.datasets.open_dataset` takes them
    data_folder : first folder to search for CIFAR-100

    Returns
    -------
    entry : as it is in the manifest; `measured` has an accuracy, 0..1, for each "<dataset>_1nn_accuracy"
    """
    encoder = ImageEncoder(model_set, num_threads=num_threads)
    measured = {}
    for name in datasets:
        dataset = open_dataset(name, data_folder=data_folder, progress=progress)
        sent, knowledge_base = (
            cached_features(images, encoder, progress=progress) for images in (dataset.sent, dataset.knowledge_base)
        )
        measured[f"{dataset.name}_1nn_accuracy"] = round(retrieval_accuracy(dataset, sent, knowledge_base), 4)
    entry = msgspec.structs.replace(model_set.manifest.encoder, measured=measured)
    return set_encoder(model_set.folder, entry).encoder
