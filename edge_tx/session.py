"""A transmitter from its configuration to its summary: source, models, sockets and log, opened and closed."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from edge_tx.adaptation import Adaptation
from edge_tx.config import TransmitterConfig
from edge_tx.loading import LinkModels, load_models
from edge_tx.pipeline import Plan, Transmitter
from edge_tx.sources import SkippedImages
from edge_tx.stream import Pacer, SentLog, stream_images
from edge_tx.summary import TransmitterSummary
from engines.models.knowledge_base_codebook import ADAPTED
from semlink.cli.output import notify
from semlink.errors import SemlinkError, TransportError
from semlink.feedback import ReportSubscriber
from semlink.interrupt import interruptions
from semlink.transport import FrameSender, SocketLimits

__all__ = ["TransmitterRun", "run_transmitter"]

_log = logging.getLogger(__name__)

_FIRST_REPORT_TIMEOUT_S = 2.0
"""Longest wait of the first image for a report; a receiver sends two a second."""

_CLOSING_TIMEOUT_S = 0.2
"""Time that an interrupted transmitter has for its last messages."""


@dataclass(frozen=True)
class TransmitterRun:
    """How a transmitter ended: its summary, and the error that ended it, if any."""

    summary: TransmitterSummary
    failure: SemlinkError | None


def run_transmitter(config: TransmitterConfig, console: Console) -> TransmitterRun:
    """Send the source's images until it ends, the limit is reached, or Ctrl-C or SIGTERM ends the stream.

    Raises
    ------
    SemlinkError
        If something fails before the first image; a later failure is returned with the summary.
    """
    skipped, models = SkippedImages(), load_models(config, console)
    with interruptions() as interruption, contextlib.ExitStack() as stack:
        images = config.source.open(
            skipped, min_side_px=models.initial.preprocessing.size_px, interruption=interruption
        )
        log = stack.enter_context(SentLog(config.log))
        limits = SocketLimits(peer_timeout_s=config.peer_timeout_s)
        sender = stack.enter_context(FrameSender(config.connect, limits=limits, interruption=interruption))
        reports = stack.enter_context(ReportSubscriber(config.feedback)) if config.feedback else None
        pacer = Pacer(config.fps, interruption)
        if reports is not None:
            reports.wait(_FIRST_REPORT_TIMEOUT_S)
        transmitter = Transmitter(
            models.initial,
            models.rate,
            sender.send,
            num_pilots=config.num_pilots,
            constellation=config.constellation,
        )
        fetcher = stack.enter_context(models.fetcher(config.feedback)) if config.feedback else None
        adaptation = models.adaptation(fetcher, adapts_rate=config.rate is None) if config.feedback else None
        notify(console, _announcement(config, models))
        if num_left_out := config.source.num_left_out():
            notify(
                console,
                f"{num_left_out} images that are in {config.source.path} already are not sent, only those that appear;"
                " without --watch, they are",
            )
        start_s, failure = time.monotonic(), None
        try:
            limited = itertools.islice(images, config.limit)
            stream_images(transmitter, limited, pacer, log, plan=_planner(adaptation, reports, transmitter, console))
            if not interruption.is_set():
                transmitter.end()
        except SemlinkError as error:
            failure = error
        except KeyboardInterrupt:
            pass
        duration_s = time.monotonic() - start_s
        if failure is not None or interruption.is_set():
            sender.hurry(_CLOSING_TIMEOUT_S)
            with contextlib.suppress(TransportError):
                transmitter.end()
        if adaptation is not None and not adaptation.has_report and not adaptation.has_warned:
            _log.warning("no report arrived from %s: is an rx with --feedback there?", config.feedback)
    is_interrupted = interruption.is_set()
    summary = TransmitterSummary.of(
        transmitter,
        skipped,
        interrupted=is_interrupted,
        duration_s=duration_s,
        chunks_rejected=fetcher.rejected if fetcher else {},
    )
    return TransmitterRun(summary, failure)


def _announcement(config: TransmitterConfig, models: LinkModels) -> str:
    return (
        f"sending {models.rate.num_symbols} symbols an image with {models.initial.codec} to {config.connect}"
        f"{_later(models)}; image encoder in {models.precision}"
    )


def _later(models: LinkModels) -> str:
    """What is sent once a report shows that the receiver decodes it."""
    codecs = [candidate.model.codec for candidate in models.preferred]
    if models.load_fetched is not None:
        codecs.append(ADAPTED)
    if models.fallback is None or not codecs:
        return ""
    return f", and with {' or '.join(dict.fromkeys(codecs))} once the receiver reports that it decodes it"


def _planner(
    adaptation: Adaptation | None, reports: ReportSubscriber | None, transmitter: Transmitter, console: Console
) -> Callable[[], Plan] | None:
    """Plan of each image; the first image with each codec is announced."""
    if adaptation is None or reports is None:
        return None
    used = {transmitter.plan.model.codec}

    def plan() -> Plan:
        planned = adaptation.plan(reports, stream_id=transmitter.stream_id, expects_fades=transmitter.num_pilots > 0)
        if planned.model.codec not in used:
            used.add(planned.model.codec)
            notify(console, f"sending with {planned.model.codec}")
        return planned

    return plan
