"""Detectors of a codec's signals at every rate: by label where entries have labels, by entry else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from edge_rx.decoders.entry_calibration import EntryCalibration
from edge_rx.decoders.label_detector import LabelDetector, Labelling, label_groups
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.options import DEFAULT_DECODER_OPTIONS, DecoderOptions
from edge_rx.decoders.templates import SignalPriors, SignalTemplates
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from semlink.rates import Rate

__all__ = ["Detectors", "detectors", "nested_detectors", "network_detectors"]

Detectors: TypeAlias = dict[Rate, MapDetector] | dict[Rate, LabelDetector]

_BLOCK = 4096
"""Entries that are encoded at a time."""


def detectors(
    templates: SignalTemplates,
    labelling: Labelling | None,
    rates: Sequence[Rate],
    options: DecoderOptions = DEFAULT_DECODER_OPTIONS,
    *,
    accuracies: FloatArray | None = None,
    calibrate: Callable[[], EntryCalibration] | None = None,
) -> Detectors:
    """A detector for each rate.

    Parameters
    ----------
    templates : signals of the knowledge base's entries
    labelling : their labels, where a model of them can be made
    accuracies : see `MapDetector`
    calibrate : makes the calibration of a `MapDetector`; None for none
    """
    if labelling is not None and options.answer == "label":
        return LabelDetector.of_rates(templates, labelling, rates)
    return MapDetector.of_rates(
        templates,
        rates,
        answer=options.answer,
        accuracies=accuracies,
        calibration=calibrate() if calibrate else None,
        num_threads=options.num_threads,
        gpu=options.gpu,
    )


def nested_detectors(
    codes: Sequence[Codebook],
    vectors: FloatArray,
    labels: Sequence[str],
    rates: Sequence[Rate],
    options: DecoderOptions = DEFAULT_DECODER_OPTIONS,
    *,
    are_features: bool = True,
) -> list[Detectors]:
    """Detectors of `nested` for each of several codes that differ in their power share.

    Parameters
    ----------
    vectors : (entries, dim) float32, of the entries in the space that the codes encode
    labels : label of each entry, "" without one
    are_features : whether vectors are features, of which an image's are like those of an entry; projected vectors of
        entries know their labels, so that they calibrate nothing
    """
    # With cells an image's signal is not near those of its label, but on the codeword of one of many cells.
    labelling = None if codes[0].num_cells else Labelling.of_labels(labels)
    of_codes = SignalTemplates.of_codes(codes, vectors, groups=label_groups(labels))
    calibrates = [
        partial(EntryCalibration.of, code.latent, vectors, labels) if are_features else None for code in codes
    ]
    return [
        detectors(templates, labelling, rates, options, calibrate=calibrate)
        for templates, calibrate in zip(of_codes, calibrates, strict=True)
    ]


def network_detectors(
    encode: Callable[[FloatArray], FloatArray],
    features: FloatArray,
    labels: Sequence[str],
    rate: Rate,
    options: DecoderOptions = DEFAULT_DECODER_OPTIONS,
) -> MapDetector | LabelDetector:
    """Detector of `kbsc` at one rate, which compares with the signals that the encoder makes of the entries.

    Parameters
    ----------
    encode : features (batch, feature_dim) -> latent (batch, 2 n)
    features : (entries, feature_dim) float32
    labels : label of each entry, "" without one
    """
    blocks = [encode(features[start : start + _BLOCK]) for start in range(0, len(features), _BLOCK)]
    templates = SignalTemplates.of_signals(
        np.concatenate(blocks), features, agreement=SignalPriors().agreement, groups=label_groups(labels)
    )
    calibrate = partial(EntryCalibration.of, encode, features, labels)
    return detectors(templates, Labelling.of_labels(labels), [rate], options, calibrate=calibrate)[rate]
