"""The codebook of a knowledge base in its folder, and the forecast of what the knowledge base answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edge_rx.codebook.forecast import Fold, ForecastConfig, ForecastReport, forecast
from edge_rx.codebook.make import make_codebook
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.codebooks import add_codebook
from edge_rx.kb.manifest import CodebookEntry
from edge_rx.kb.storage import lock_whatever_is_there
from engines.models.codecs import NestedCodec
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.errors import KnowledgeBaseError

__all__ = ["codebook_of", "forecast_knowledge_base", "make_codebook_in"]


def codebook_of(
    knowledge_base: KnowledgeBase, on_progress: Callable[[float], None] | None = None, *, num_threads: int = 1
) -> KnowledgeBaseCodebook:
    """Make the codebook of a knowledge base from its vectors and labels.

    Parameters
    ----------
    on_progress : called with the share of the work that is done, 0..1
    num_threads : CPU threads of k-means
    """
    return make_codebook(
        knowledge_base.features(),
        knowledge_base.entry_labels(),
        knowledge_base=knowledge_base.fingerprint,
        space=knowledge_base.manifest.encoder_fingerprint,
        num_threads=num_threads,
        on_progress=on_progress,
    )


def make_codebook_in(
    folder: Path, on_progress: Callable[[float], None] | None = None, *, num_threads: int = 1
) -> CodebookEntry:
    """Make the codebook of a knowledge base that exists, in place of the newest one; its images are not read.

    The last few codebooks stay, so that a receiver goes on decoding frames of transmitters that have one of them.

    Raises
    ------
    KnowledgeBaseError
        If the folder is no knowledge base, is damaged, or cannot be written; its codebooks are then as they were.
    """
    try:
        lock = lock_whatever_is_there(folder)
    except OSError as error:
        raise KnowledgeBaseError(f"{folder}: not a knowledge base: {error.strerror}") from None
    try:
        with KnowledgeBase.open(folder) as knowledge_base:
            codebook = codebook_of(knowledge_base, on_progress, num_threads=num_threads)
        return add_codebook(folder, codebook)
    except OSError as error:
        raise KnowledgeBaseError(
            f"{folder}: cannot be written, its codebooks are unchanged: {error.strerror}"
        ) from None
    finally:
        os.close(lock)


def forecast_knowledge_base(
    folder: Path,
    model_set: ModelSet,
    config: ForecastConfig,
    *,
    command: str,
    track: Callable[[Sequence[Fold]], Iterable[Fold]] = iter,
) -> ForecastReport:
    """Forecast what a knowledge base answers; see `edge_rx.codebook.forecast.forecast`.

    Parameters
    ----------
    model_set : the one that the knowledge base was built with, whose codes of features are forecast

    Raises
    ------
    KnowledgeBaseError
        If the folder is no knowledge base of the set's encoder, or has too few entries.
    ConfigError
        If a code is named that the set does not have.
    """
    nested = {
        codec.name: codec.codebook
        for codec in model_set.codecs
        if isinstance(codec, NestedCodec) and codec.entry.projection is None
    }
    with KnowledgeBase.open(
        folder, model_set.encoder_fingerprint, encoder_name=model_set.manifest.encoder.name
    ) as knowledge_base:
        return forecast(
            knowledge_base.features(),
            knowledge_base.entry_labels(),
            config,
            nested=nested,
            knowledge_base=knowledge_base.fingerprint.hex(),
            command=command,
            track=track,
        )
