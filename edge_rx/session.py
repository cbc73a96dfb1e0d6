"""A receiver from its configuration to its summary: models, knowledge base, sockets and results, opened and closed."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console

from edge_rx.decoders.options import Answer, DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.approximate import SearchIndex
from edge_rx.kb.gpu_search import GpuSearch, SearchPrecision
from edge_rx.kb.index import open_search_device
from edge_rx.kb.watch import KnowledgeBaseWatch
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from edge_rx.reporter import Reporter
from edge_rx.results import ResultsLog
from edge_rx.service import BatchRule, Status, StopRule, serve
from edge_rx.summary import Summary, summarize
from engines.build_progress import build_progress
from engines.models.model_set import ModelSet
from semlink.cli.output import notify
from semlink.errors import ConfigError
from semlink.feedback import ReportPublisher
from semlink.interrupt import interruptions
from semlink.rates import RATES, Rate
from semlink.transport import FrameReceiver

__all__ = ["ReceiverConfig", "run_receiver"]

_log = logging.getLogger(__name__)

_GPU_BATCH = 16
"""Frames that a search on a GPU answers together by default."""


@dataclass(frozen=True, kw_only=True)
class ReceiverConfig:
    """The options of `semlink rx`; see its help for each.

    Attributes
    ----------
    rates : served rates
    batch_size : largest number of frames that are answered together; None chooses 1 on a CPU and 16 on a GPU
    status_interval_s : time between two status lines; 0 writes none [s]
    """

    kb: Path
    model_set: str = "builtin"
    listen: str = "tcp://127.0.0.1:5555"
    feedback: str | None = None
    results: Path = Path("results")
    answer: Answer = "label"
    min_confidence: float | None = None
    rates: tuple[Rate, ...] = RATES
    backend: str = "auto"
    engines: Path | None = None
    num_threads: int = 1
    device: str = "cpu"
    search_index: SearchIndex = SearchIndex.FLAT
    search_precision: SearchPrecision = SearchPrecision.FP32
    batch_size: int | None = None
    batch_delay_ms: float = 0.0
    stop: StopRule = field(default_factory=StopRule)
    status_interval_s: float = 10.0

    def __post_init__(self) -> None:
        if self.feedback == self.listen and not self.listen.endswith(":*"):  # which picks a free port for each
            raise ConfigError(f"--feedback and --listen are both {self.listen}; reports need a port of their own")


def run_receiver(config: ReceiverConfig, console: Console) -> Summary:
    """Run a receiver until its stop rule, Ctrl-C or SIGTERM ends it.

    Raises
    ------
    SemlinkError
        Of any kind; what was found before it is in the results.
    """
    models = ModelSet.find(config.model_set)
    gpu = open_search_device(config.device, config.search_precision, config.search_index)
    batch_size = config.batch_size if config.batch_size is not None else 1 if gpu is None else _GPU_BATCH
    batch = BatchRule(batch_size, config.batch_delay_ms)
    status = Status(config.status_interval_s, partial(notify, console))
    with (
        KnowledgeBase.open(
            config.kb,
            models.encoder_fingerprint,
            encoder_name=models.manifest.encoder.name,
            num_threads=config.num_threads,
            gpu=gpu,
            search_index=config.search_index,
        ) as knowledge_base,
        contextlib.ExitStack() as stack,
    ):
        # Before any socket or file is opened: a damaged model set fails the start.
        decoders = _load_decoders(config, models, knowledge_base, gpu, batch, console)
        if gpu is not None:
            decoders.prepare()  # now, because FAISS's searches on a GPU are not for two threads
        _log_use_of_labels(config.answer, knowledge_base)
        receiver = Receiver(decoders, knowledge_base, min_confidence=config.min_confidence)
        interruption = stack.enter_context(interruptions())
        frames = stack.enter_context(FrameReceiver(config.listen))
        publisher = stack.enter_context(ReportPublisher(config.feedback)) if config.feedback else None
        log = stack.enter_context(ResultsLog(config.results))
        num_entries = knowledge_base.num_entries
        reporting = f", reporting on {publisher.endpoint}" if publisher else ""
        notify(console, f"listening on {frames.endpoint} with {num_entries} entries{reporting}; Ctrl-C to stop")
        if gpu is None:
            # Beside the frames, which can come before: models of labels take a second or two.
            threading.Thread(target=decoders.prepare, name="prepare decoders", daemon=True).start()
        serve(
            frames,
            receiver,
            log,
            config.stop,
            interruption,
            batch=batch,
            on_match=_FirstMatch(config.results, console),
            reporter=Reporter(publisher) if publisher else None,
            status=status,
            watch=KnowledgeBaseWatch(config.kb, knowledge_base.manifest),
        )
        return summarize(receiver, log, num_entries=num_entries)


def _load_decoders(
    config: ReceiverConfig,
    models: ModelSet,
    knowledge_base: KnowledgeBase,
    gpu: GpuSearch | None,
    batch: BatchRule,
    console: Console,
) -> Decoders:
    options = DecoderOptions(
        rates=config.rates,
        backend=config.backend,
        num_threads=config.num_threads,
        gpu=gpu,
        batch_size=batch.max_frames,
        engines=config.engines,
        building=partial(build_progress, console),
        with_high_snr_code=config.feedback is not None,
        answer=config.answer,
    )
    # With a GPU, engines may be built, whose progress bars and this status would overwrite each other.
    sorts_on_cpu = config.search_index is SearchIndex.IVF and gpu is None
    words = f"sorting {knowledge_base.num_entries} entries into lists, for --search-index ivf"
    with console.status(words) if sorts_on_cpu else contextlib.nullcontext():
        return Decoders.of(models, knowledge_base, options)


def _log_use_of_labels(answer: Answer, knowledge_base: KnowledgeBase) -> None:
    num_entries = knowledge_base.num_entries
    num_labelled = num_entries - knowledge_base.labels().get("", 0)
    if not num_labelled:
        _log.info("labels: no entry has one, so that answers are the most similar entries")
        return
    kinds = [codebook.kind for codebook in knowledge_base.manifest.codebooks[:1]]
    cells = f", the newest codebook has {kinds[0]}" if kinds else ""
    _log.info("labels: %d of %d entries have one; answers by --answer %s%s", num_labelled, num_entries, answer, cells)


class _FirstMatch:
    """Announces the first match, so that whoever started the receiver sees that it works."""

    def __init__(self, results: Path, console: Console) -> None:
        self._results, self._console = results, console
        self._is_announced = False

    def __call__(self, match: Match) -> None:
        if not self._is_announced:
            what = match.label or match.source
            notify(self._console, f"first match: {what}, confidence {match.confidence:.2f}; all are in {self._results}")
        self._is_announced = True
