"""The accuracy to expect of a knowledge base by code, rate and SNR, before anything is deployed.

Every entry that is drawn is sent once, through quantized I/Q codes and white noise, to a knowledge base without it and
without the others of its fold, a block of consecutive entries of each label (`edge_rx.folds` says why). What a forecast
cannot know is how images that will be sent differ from the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from edge_rx.codebook.make import Shape, choose_shape, make_codebook
from edge_rx.codebook.simulate import HeldOut, Retrieval, SimulatedCode, simulate
from edge_rx.decoders.detectors import nested_detectors
from edge_rx.folds import block_folds
from engines.models.arrays import FloatArray
from engines.models.codebook import Codebook
from engines.models.knowledge_base_codebook import ADAPTED
from semlink.errors import ConfigError, KnowledgeBaseError
from semlink.rates import Rate
from semlink.report import Report, provenance

__all__ = ["CODES", "Fold", "ForecastCell", "ForecastConfig", "ForecastReport", "forecast"]

CODES = (ADAPTED, "index", "nested", "nested-cells")
"""Codes that a forecast is made for; all of them together stand for those of them that a model set has."""
_OF_MODEL_SET = frozenset(CODES) - {ADAPTED, "index"}
Fold: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Numbers of the entries that are sent together, and of those that are left out meanwhile."""
_NUM_FOLDS = 10
_LEAST_ENTRIES = 10
_FINGERPRINT = b"forecast".ljust(32)
_SPACE = "0" * 64
"""Stand for the fingerprints of knowledge base and encoder, which nothing here compares."""


class ForecastCell(msgspec.Struct, frozen=True, kw_only=True):
    """What to expect of one code at one rate and SNR.

    Attributes
    ----------
    accuracy : share of the sent entries with a label whose answer has it, 0..1; None without labels
    accuracy_half_width : half of its 95 % interval, normal approximation
    recall : share of the answers that are the nearest entry without codec and channel, 0..1
    answer_cosine : mean cosine of the features of answer and sent entry, -1..1
    """

    codec: str
    num_symbols: int
    snr_db: float
    accuracy: float | None
    accuracy_half_width: float | None
    recall: float
    answer_cosine: float


class ForecastReport(Report, frozen=True, kw_only=True):
    """A forecast.

    Attributes
    ----------
    knowledge_base : fingerprint of the knowledge base, in hex
    num_sent : entries that were sent, each once
    noiseless_accuracy : accuracy of the nearest entry without codec and channel; None without labels
    noiseless_cosine : mean cosine of a sent entry and the nearest one that remains
    """

    kind: str = "forecast"
    knowledge_base: str
    num_entries: int
    num_labels: int
    num_sent: int
    noiseless_accuracy: float | None
    noiseless_cosine: float
    cells: list[ForecastCell]


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """What to forecast.

    Attributes
    ----------
    rates, snr_db, codes : the grid; codes are some of `CODES`
    limit : largest number of entries that are sent
    seed : of what is held out, of noise, and of a codebook's k-means and codewords
    """

    rates: Sequence[Rate]
    snr_db: Sequence[float]
    codes: Sequence[str] = CODES
    limit: int = 1000
    seed: int = 0
    num_threads: int = 1

    def __post_init__(self) -> None:
        unknown = [code for code in self.codes if code not in CODES]
        if unknown or not self.codes:
            raise ConfigError(f"a forecast is made for {', '.join(CODES)}; got {', '.join(unknown) or 'none'}")
        if not self.rates or not self.snr_db:
            raise ConfigError("a forecast needs at least one rate and one SNR")


def forecast(
    features: FloatArray,
    labels: Sequence[str],
    config: ForecastConfig,
    *,
    nested: Mapping[str, Codebook] | None = None,
    knowledge_base: str = "",
    command: str = "edge_rx.codebook.forecast.forecast",
    track: Callable[[Sequence[Fold]], Iterable[Fold]] = iter,
) -> ForecastReport:
    """Forecast what a knowledge base answers.

    Parameters
    ----------
    features : (entries, feature_dim) float32, of the image encoder
    labels : label of each entry, "" without one
    nested : codebooks of the model set's codecs of features, by name
    knowledge_base : fingerprint of the knowledge base in hex, for the report
    track : shows progress over the folds

    Raises
    ------
    KnowledgeBaseError
        If there are too few entries to hold some out.
    ConfigError
        If a code of the model set is named whose codebook is not given.
    """
    if len(features) < _LEAST_ENTRIES:
        raise KnowledgeBaseError(
            f"a forecast holds entries out, which takes at least {_LEAST_ENTRIES} of them; there are {len(features)}"
        )
    codebooks = _named(config.codes, nested or {})
    shape = choose_shape(features, labels, seed=config.seed, num_threads=config.num_threads)
    snrs_db = tuple(dict.fromkeys(config.snr_db))
    collected: dict[tuple[str, int, float], list[Retrieval]] = {}
    noiseless: list[Retrieval] = []
    for fold in track(_folds(labels, config)):
        held_out = HeldOut.of(features, labels, *fold)
        noiseless.append(_nearest(held_out))
        for name, code in _codes(held_out, codebooks, shape, config).items():
            for rate in dict.fromkeys(config.rates):
                found = simulate(code, held_out, rate, snrs_db, seed=config.seed)
                for snr_db, retrieval in zip(snrs_db, found, strict=True):
                    collected.setdefault((name, rate.num_symbols, snr_db), []).append(retrieval)
    return ForecastReport(
        **provenance(command),
        knowledge_base=knowledge_base,
        num_entries=len(features),
        num_labels=len(set(filter(None, labels))),
        num_sent=sum(len(each.answers) for each in noiseless),
        noiseless_accuracy=_accuracy(noiseless)[0],
        noiseless_cosine=_mean([each.cosines for each in noiseless]),
        cells=[_cell(*key, retrievals, noiseless) for key, retrievals in collected.items()],
    )


def _named(codes: Sequence[str], nested: Mapping[str, Codebook]) -> dict[str, Codebook]:
    """Those of the model set's codebooks that a forecast is made for."""
    missing = [code for code in codes if code in _OF_MODEL_SET and code not in nested]
    if missing and set(codes) != set(CODES):
        raise ConfigError(f"the model set has no codec {', '.join(missing)} of features; name other codecs")
    return {code: nested[code] for code in codes if code in nested}


def _folds(labels: Sequence[str], config: ForecastConfig) -> list[Fold]:
    """The folds; each entry is sent at most once, and the vectors of one fold at a time are copied."""
    names = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    of_entries = np.array([names[label] for label in labels], np.int64)
    folds = block_folds(of_entries, _NUM_FOLDS)
    sent = np.random.default_rng(config.seed).permutation(len(labels))[: config.limit]
    numbers = np.unique(folds[sent]).tolist()
    return [(sent[folds[sent] == fold], np.flatnonzero(folds == fold)) for fold in numbers]


def _codes(
    held_out: HeldOut, nested: Mapping[str, Codebook], shape: Shape, config: ForecastConfig
) -> dict[str, SimulatedCode]:
    """Every code over the entries that remain."""
    kept, labels = held_out.kept, held_out.kept_labels
    codes: dict[str, SimulatedCode] = {}
    if {ADAPTED, "index"} & {*config.codes}:
        codebook = make_codebook(
            kept,
            labels,
            knowledge_base=_FINGERPRINT,
            space=_SPACE,
            shape=shape,
            seed=config.seed,
            num_threads=config.num_threads,
        )
        made = {
            ADAPTED: SimulatedCode.adapted(codebook, kept, labels),
            "index": SimulatedCode.index(codebook, kept, labels),
        }
        codes |= {name: code for name, code in made.items() if name in config.codes}
    return codes | {name: _nested(codebook, kept, labels) for name, codebook in nested.items()}


def _nested(codebook: Codebook, kept: FloatArray, labels: Sequence[str]) -> SimulatedCode:
    return SimulatedCode(
        lambda sent, _rate: codebook.latent(sent),
        lambda rate: nested_detectors([codebook], kept, labels, [rate])[0][rate],
    )


def _nearest(held_out: HeldOut) -> Retrieval:
    """The answers without codec and channel."""
    return Retrieval.of((held_out.sent @ held_out.kept.T).argmax(axis=1), held_out)


def _cell(
    codec: str, num_symbols: int, snr_db: float, retrievals: Sequence[Retrieval], noiseless: Sequence[Retrieval]
) -> ForecastCell:
    accuracy, half_width = _accuracy(retrievals)
    recall = [found.answers == ideal.answers for found, ideal in zip(retrievals, noiseless, strict=True)]
    return ForecastCell(
        codec=codec,
        num_symbols=num_symbols,
        snr_db=snr_db,
        accuracy=accuracy,
        accuracy_half_width=half_width,
        recall=_mean(recall),
        answer_cosine=_mean([each.cosines for each in retrievals]),
    )


def _accuracy(retrievals: Sequence[Retrieval]) -> tuple[float | None, float | None]:
    is_right = np.concatenate([each.is_right for each in retrievals])
    if not len(is_right):
        return None, None
    accuracy = float(is_right.mean())
    return accuracy, NormalDist().inv_cdf(0.975) * float(np.sqrt(accuracy * (1.0 - accuracy) / len(is_right)))


def _mean(parts: Sequence[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())
