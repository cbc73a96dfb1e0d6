"""Signals of `adapted`: the codebook of a knowledge base over its entries, or over those that it has had since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_rx.decoders.templates import SignalTemplates
from engines.models.arrays import FloatArray
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook, label_hashes

__all__ = ["adapted_templates", "label_groups"]

_BLOCK = 4096
"""Entries that are compared with all cells at a time."""


def adapted_templates(
    codebook: KnowledgeBaseCodebook, features: FloatArray, labels: Sequence[str]
) -> tuple[SignalTemplates, SignalTemplates]:
    """Compute the signals of every entry, with the blind and with the high-SNR code; all but the signals is shared.

    An entry's cell is that of its label. An entry without a label, or with one that has no cell, has the cell of its
    features, as a transmitter would decide it.

    Parameters
    ----------
    features : (entries, feature_dim) float32
    labels : label of each entry, "" without one
    """
    code, agreement = codebook.code, float(codebook.agreement[0])
    cells, groups = _cells(codebook, features, labels), label_groups(labels)
    blind, high_snr = (
        SignalTemplates.of_cells(each, features, cells, agreement=agreement, groups=groups)
        for each in (code, code.for_high_snr())
    )
    return blind, replace(high_snr, vectors=blind.vectors)


def label_groups(labels: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Number of each entry's label, (entries,) int64; entries without one have a number each. None without labels."""
    if not any(labels):
        return None
    names = {name: number for number, name in enumerate(dict.fromkeys(filter(None, labels)))}
    return np.array([names[label] if label else len(names) + entry for entry, label in enumerate(labels)], np.int64)


def _cells(codebook: KnowledgeBaseCodebook, features: FloatArray, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    cell_of_label = {label: cell for cell, label in enumerate(codebook.cell_labels.tolist()) if label}
    known = [cell_of_label.get(label, -1) for label in label_hashes(labels).tolist()]
    cells = np.array(known, np.int64)
    unknown = np.flatnonzero(cells < 0)
    for start in range(0, len(unknown), _BLOCK):
        block = unknown[start : start + _BLOCK]
        cells[block] = codebook.code.cells(codebook.code.directions(features[block]))
    return cells
