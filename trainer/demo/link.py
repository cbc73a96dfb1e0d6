"""One run of the link: receiver, channel and transmitter as three processes over TCP on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.demo.config import LinkSettings
from trainer.demo.processes import CommandProcess, wait_for_all

__all__ = ["NUM_ENCODER_THREADS", "LinkRun", "run_link"]

NUM_ENCODER_THREADS = 2
"""CPU threads of the transmitter's image encoder."""

_ANY_PORT = "tcp://127.0.0.1:*"
_IDLE_TIMEOUT_S = 60
"""Time after which a receiver stops that never received the end of the stream [s]."""


@dataclass(frozen=True)
class LinkRun:
    """Summaries that the three processes printed, and the logs of transmitter and receiver."""

    receiver: dict[str, Any]
    channel: dict[str, Any]
    transmitter: dict[str, Any]
    sent_log: Path
    results_log: Path


def run_link(
    images: Path, knowledge_base: Path, folder: Path, settings: LinkSettings, *, codebook: Path | None = None
) -> LinkRun:
    """Send a list of images once.

    Parameters
    ----------
    images : text file with a path in each line
    knowledge_base : folder of the receiver's
    folder : folder for logs and results
    codebook : file of the knowledge base's codebook, for settings that need one

    Raises
    ------
    CommandFailedError
        If one of the processes fails, or does not end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sent_log, results = folder / "sent.jsonl", folder / "results"
    rate, models = ("--rate", str(settings.rate.num_symbols)), ("--model-set", settings.model_set, "--json")
    receive = ("rx", "--kb", str(knowledge_base), "--listen", _ANY_PORT, "--results", str(results), *rate, *models)
    until_end = ("--until-end", "--idle-timeout-s", str(_IDLE_TIMEOUT_S))
    noise = ("--model", settings.channel, "--snr-db", f"{settings.snr_db:g}", "--seed", str(settings.seed))
    with (
        CommandProcess(*receive, *until_end) as rx,
        CommandProcess(
            "channel", "--listen", _ANY_PORT, "--connect", rx.endpoint(), *noise, "--until-end", "--json"
        ) as channel,
    ):
        code = ("--codebook", str(codebook)) if codebook else ("--codec", settings.codec)
        send = ("tx", str(images), "--connect", channel.endpoint(), *code, *rate, *models)
        pilots, threads = ("--pilots", str(settings.num_pilots)), ("--threads", str(NUM_ENCODER_THREADS))
        with CommandProcess(*send, *pilots, *threads, "--log", str(sent_log)) as tx:
            wait_for_all(rx, channel, tx)
            return LinkRun(
                receiver=rx.summary(),
                channel=channel.summary(),
                transmitter=tx.summary(),
                sent_log=sent_log,
                results_log=results / "results.jsonl",
            )
