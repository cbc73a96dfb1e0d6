"""Loads the models that the options ask for: the codec for any receiver, and those of a knowledge base."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from rich.console import Console

from edge_tx.adaptation import Adaptation, smallest_rate
from edge_tx.candidates import AdaptedCandidate, Candidate, IndexCandidate
from edge_tx.codebook_fetcher import CodebookFetcher, FetchedCandidate
from edge_tx.config import TransmitterConfig
from edge_tx.model import GraphModel, TransmitterModel, load_codebook, load_index_model, load_transmitter_model
from edge_tx.pipeline import check_pilots
from engines.backends.runner import BuildProgress
from engines.build_progress import build_progress
from engines.models.codecs import NestedCodec
from engines.models.entry_codebook import EntryCodebook
from engines.models.knowledge_base_codebook import ADAPTED, KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from engines.options import EngineOptions
from semlink.errors import ConfigError
from semlink.rates import Rate

__all__ = ["LinkModels", "load_models"]

_log = logging.getLogger(__name__)

_CONSERVATIVE_SNR_DB = -7.0
"""SNR at which the initial rate of `--rate auto`, before a report, is enough [dB]."""


@dataclass(frozen=True)
class LinkModels:
    """The models of a transmitter.

    Attributes
    ----------
    fallback : codec for any receiver; None where the user's choice needs no report, and is the only one of `preferred`
    preferred : codecs of a knowledge base, the most preferred first
    rate : initial rate
    precision : of the image encoder, with the reason if it was chosen here
    encoder_fingerprint : of the image encoder, in hex
    load_fetched : loads the model of a codebook that was fetched; None if none is to be
    """

    fallback: GraphModel | None
    preferred: tuple[Candidate, ...]
    rate: Rate
    precision: str
    encoder_fingerprint: str
    load_fetched: Callable[[KnowledgeBaseCodebook], GraphModel] | None

    @property
    def initial(self) -> TransmitterModel:
        """Codec of the first image, if no report arrives before it."""
        return self.fallback or self.preferred[0].model

    @contextlib.contextmanager
    def fetcher(self, endpoint: str) -> Iterator[CodebookFetcher | None]:
        """Get codebooks from the receiver that reports at an address, for a `with` statement; None if none is to be."""
        if self.load_fetched is None:
            yield None
            return
        with CodebookFetcher(endpoint, self.encoder_fingerprint, self.load_fetched) as fetcher:
            yield fetcher

    def adaptation(self, fetcher: CodebookFetcher | None = None, *, adapts_rate: bool) -> Adaptation | None:
        """Make what plans each image by reports; None where nothing depends on them.

        Parameters
        ----------
        fetcher : gets a codebook in place of the user's, or beside no other
        """
        if self.fallback is None:
            return None
        preferred = list(self.preferred)
        if fetcher is not None:
            initial = next((candidate for candidate in preferred if isinstance(candidate, AdaptedCandidate)), None)
            preferred = [candidate for candidate in preferred if candidate is not initial]
            preferred.append(FetchedCandidate(fetcher, initial))
        return Adaptation(self.fallback, self.rate, preferred, adapts_rate=adapts_rate)


def load_models(config: TransmitterConfig, console: Console) -> LinkModels:
    """Load the models of a transmitter, with progress where an engine is built.

    Without reports, a codec of a knowledge base is the user's word that the receiver has it, and is loaded alone.

    Raises
    ------
    SemlinkError
        If one of them is not there, does not fit the options, or cannot run.
    """
    models = ModelSet.find(config.model_set)
    codec = _codec_for_any_receiver(config, models)
    rate = config.rate or _conservative_rate(models, codec)
    # Files are read before an engine is built, which can take minutes.
    entries = EntryCodebook.load(config.entries) if config.entries else None
    codebook = load_codebook(config.codebook, models) if config.codebook else None
    engine, precision = _engine_options(config, models)
    codes_format = config.codes_format
    preferred: list[Candidate] = []
    with build_progress(console) as on_progress:
        if entries is not None:
            index = load_index_model(models, entries, engine, codes_format=codes_format, on_progress=on_progress)
            preferred.append(IndexCandidate(index))

        def load(codec: str | KnowledgeBaseCodebook, on_progress: BuildProgress | None = on_progress) -> GraphModel:
            return load_transmitter_model(
                models, rate, engine, codec=codec, codes_format=codes_format, on_progress=on_progress
            )

        if codebook is not None:
            preferred.append(AdaptedCandidate.of(load(codebook), codebook))
        for candidate in preferred:
            check_pilots(config.num_pilots, candidate.model)  # at the start, not when the first report selects it
        fallback = None if codec is None else load(codec)
    return LinkModels(
        fallback=fallback,
        preferred=tuple(preferred),
        rate=rate,
        precision=precision,
        encoder_fingerprint=models.encoder_fingerprint,
        # The progress bar is gone by then.
        load_fetched=partial(load, on_progress=None) if _fetches_codebook(config) else None,
    )


def _fetches_codebook(config: TransmitterConfig) -> bool:
    names_only_a_codec = config.codec is not None and config.codebook is None
    if config.feedback is None or not config.fetches_codebook or names_only_a_codec:
        return False
    if config.num_pilots == 1:
        _log.info("the receiver's codebook is not fetched: %s needs no pilots, or at least 2", ADAPTED)
    return config.num_pilots != 1


def _codec_for_any_receiver(config: TransmitterConfig, models: ModelSet) -> str | None:
    """Name of the codec to send with until a report allows another; None where no report is to come."""
    if config.feedback is None and (config.entries or config.codebook) is not None:
        return None
    codec = models.codec(config.codec)
    if config.rate is None and not isinstance(codec, NestedCodec):
        raise ConfigError(f"--rate auto needs one code for all rates, such as nested; got {codec.name}")
    return codec.name


def _conservative_rate(models: ModelSet, codec: str | None) -> Rate:
    """Initial rate of `--rate auto`, for the codec that is sent until a report arrives."""
    code = models.codec(codec)
    sends_codewords = isinstance(code, NestedCodec) and code.codebook.has_cells
    return smallest_rate(code.rates, _CONSERVATIVE_SNR_DB, sends_codewords=sends_codewords)


def _engine_options(config: TransmitterConfig, models: ModelSet) -> tuple[EngineOptions, str]:
    """The options of the engine, and its precision with the reason where it was chosen here."""
    if not config.takes_best_precision:
        return config.engine, config.engine.precision.value
    # onnx takes longer to import than all other modules here together, and loading needs it too.
    from engines.factory import EngineFactory

    precision, reason = EngineFactory(models, config.engine, codes_format=config.codes_format).best_precision()
    return replace(config.engine, precision=precision), f"{precision.value} ({reason})"
