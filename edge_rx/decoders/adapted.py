"""Signals of `adapted`: the codebook of a knowledge base over its entries, or over those that it has had since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from edge_rx.decoders.detectors import Detectors, detectors
from edge_rx.decoders.entry_calibration import EntryCalibration
from edge_rx.decoders.label_detector import Labelling, label_groups
from edge_rx.decoders.options import DEFAULT_DECODER_OPTIONS, DecoderOptions
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.kb.codebook_cells import entry_cells
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.rates import Rate

__all__ = ["AdaptedSignals"]


@dataclass(frozen=True, eq=False)
class AdaptedSignals:
    """The signals of every entry.

    Attributes
    ----------
    blind, high_snr : signals with the blind and with the high-SNR code, which share all but the signals
    labelling : labels of the cells; None if no cell has one
    accuracies : (entries,) float32, see `edge_rx.decoders.map_detector.MapDetector`; None where entries have labels and
        cells have not, whose accuracies then say nothing of labels
    calibrate : makes the calibration of that detector there, of a code
    """

    blind: SignalTemplates
    high_snr: SignalTemplates
    labelling: Labelling | None
    accuracies: FloatArray | None
    calibrate: Callable[[Codebook], EntryCalibration] | None
    code: Codebook

    @classmethod
    def of(cls, codebook: KnowledgeBaseCodebook, features: FloatArray, labels: Sequence[str]) -> AdaptedSignals:
        """Compute the signals of entries in the cells of `edge_rx.kb.codebook_cells.entry_cells`.

        Parameters
        ----------
        features : (entries, feature_dim) float32
        labels : label of each entry, "" without one
        """
        code, agreement = codebook.code, float(codebook.agreement[0])
        cells, groups = entry_cells(codebook, features, labels), label_groups(labels)
        blind, high_snr = (
            SignalTemplates.of_cells(each, features, cells.coded, agreement=agreement, groups=groups)
            for each in (code, code.for_high_snr())
        )
        high_snr = replace(high_snr, vectors=blind.vectors)
        labelling = Labelling.of_cells(codebook, cells.answered)
        if groups is not None and labelling is None:
            return cls(
                blind, high_snr, None, None, lambda each: EntryCalibration.of(each.latent, features, labels), code
            )
        return cls(blind, high_snr, labelling, codebook.cell_accuracies[cells.coded], None, code)

    def detectors(
        self, rates: Sequence[Rate], options: DecoderOptions = DEFAULT_DECODER_OPTIONS, *, is_high_snr: bool = False
    ) -> Detectors:
        """A detector for each rate, of the blind or of the high-SNR code."""
        templates, code = (self.high_snr, self.code.for_high_snr()) if is_high_snr else (self.blind, self.code)
        calibrate = partial(self.calibrate, code) if self.calibrate else None
        return detectors(templates, self.labelling, rates, options, accuracies=self.accuracies, calibrate=calibrate)
