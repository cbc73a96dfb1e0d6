"""Study of forecasts: what a knowledge base expects, beside what is then measured."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.evaluations import SETS
from benchmarks.report.schemas import Point
from benchmarks.studies.context import SEEDS, StudyContext
from edge_rx.codebook.forecast import ForecastConfig, forecast
from semlink.rates import parse_rate
from trainer.codecs.table import find_codec
from trainer.datasets import open_dataset
from trainer.links.base import LinkInputs
from trainer.links.retrieval import NoiselessRetrieval

__all__ = ["forecasts"]

_DATA = ("digits", "flowers12", "cifar10-test", "cifar100")
"""Sets of which a label has several entries, so that some can be left out."""
_CODECS = ("adapted", "index")
_SNR_DB = (-7.0, 10.0)


def forecasts(context: StudyContext) -> Iterator[Point]:
    """Accuracy at 64 symbols: expected by `semlink kb forecast`, and of the images that the knowledge base lacks."""
    for data in _DATA:
        dataset = open_dataset(data, progress=context.progress)
        noiseless = context.noiseless(dataset)
        for seed in SEEDS:
            yield from _expected(noiseless, SETS[data], seed)
        inputs = LinkInputs(noiseless, dataset.sent, context.encoder, answer="label")
        for codec in _CODECS:
            make = find_codec(codec).load_links()(inputs)
            measured = context.measure(noiseless, codec, partial(make, None), snr_db=_SNR_DB)
            for record in measured:
                curve = f"{record.codec} at {record.snr_db:g} dB, measured"
                yield Point(curve, SETS[data], record.seed, record.semantic_accuracy)


def _expected(noiseless: NoiselessRetrieval, title: str, seed: int) -> Iterator[Point]:
    config = ForecastConfig(rates=[parse_rate("64")], snr_db=_SNR_DB, codes=_CODECS, seed=seed)
    for cell in forecast(noiseless.kb_features, noiseless.kb_labels.tolist(), config).cells:
        if cell.accuracy is not None:
            yield Point(f"{cell.codec} at {cell.snr_db:g} dB, expected", title, seed, cell.accuracy)
