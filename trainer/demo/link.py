"""The link of a demonstration: a receiver, and for each run a channel and a transmitter, all processes, over TCP."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from typing_extensions import Self

from edge_rx.results import LINES_FILE
from edge_rx.summary import StreamSummary
from semlink.rates import Rate
from trainer.demo.config import LinkSettings
from trainer.demo.processes import CommandProcess, wait_for_all

__all__ = ["NUM_ENCODER_THREADS", "Link", "LinkRun", "ResultLines"]

NUM_ENCODER_THREADS = 2
"""CPU threads of an image encoder."""

_ANY_PORT = "tcp://127.0.0.1:*"
_IDLE_TIMEOUT_S = 600
"""Time after which a receiver stops whose demonstration was killed [s]."""
_ANSWER_TIMEOUT_S = 30.0
"""Time without any result after which the frames that have none count as lost [s]."""
_POLL_S = 0.02


@dataclass(frozen=True)
class LinkRun:
    """What one run logged.

    Attributes
    ----------
    transmitter, channel : summaries that they printed
    sent : the transmitter's log, a line for each image; a transmitter that sends none fails
    results : the receiver's results for these images
    """

    transmitter: dict[str, Any]
    channel: dict[str, Any]
    sent: Sequence[dict[str, Any]]
    results: Sequence[dict[str, Any]]

    @property
    def stream_id(self) -> str:
        """Of the run's frames, as results and the receiver's summary write it."""
        return str(self.sent[0]["stream_id"])


class Link:
    """A receiver that answers run after run, so that it starts once for a knowledge base.

    Parameters
    ----------
    knowledge_base : folder of the receiver's
    results : folder for its results
    model_set : name of a built-in model set, or folder
    rates : to serve
    """

    def __init__(self, knowledge_base: Path, results: Path, *, model_set: str, rates: Sequence[Rate]) -> None:
        serve = ("--rate", ",".join(str(rate.num_symbols) for rate in rates), "--model-set", model_set, "--json")
        files = ("--kb", str(knowledge_base), "--results", str(results))
        self._receiver = CommandProcess(
            "rx", *files, "--listen", _ANY_PORT, "--idle-timeout-s", str(_IDLE_TIMEOUT_S), *serve
        )
        self._results = ResultLines(results / LINES_FILE)

    def run(self, images: Path, folder: Path, settings: LinkSettings, *, codebook: Path | None = None) -> LinkRun:
        """Send a list of images once.

        Parameters
        ----------
        images : text file with a path in each line
        folder : folder for the transmitter's log
        codebook : file of the knowledge base's codebook, for settings that need one

        Raises
        ------
        CommandFailedError
            If one of the processes fails, or does not end. A transmitter fails that can read none of the images.
        """
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "sent.jsonl"
        noise = ("--model", settings.channel, "--snr-db", f"{settings.snr_db:g}", "--seed", str(settings.seed))
        between = ("--listen", _ANY_PORT, "--connect", self._receiver.endpoint())
        with CommandProcess("channel", *between, *noise, "--until-end", "--json") as channel:
            code = ("--codebook", str(codebook)) if codebook else ("--codec", settings.codec)
            models = ("--model-set", settings.model_set, "--threads", str(NUM_ENCODER_THREADS))
            frames = ("--rate", str(settings.rate.num_symbols), "--pilots", str(settings.num_pilots))
            send = ("--connect", channel.endpoint(), *code, *models, *frames)
            with CommandProcess("tx", str(images), *send, "--log", str(log), "--json") as transmitter:
                wait_for_all(channel, transmitter, peer=self._receiver)
                summaries = transmitter.summary(), channel.summary()
        sent = [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
        answers = self._answers(sent[0]["stream_id"], summaries[1]["frames_forwarded"])
        return LinkRun(*summaries, sent, answers)

    def stop(self) -> dict[str, StreamSummary]:
        """End the receiver; returns what it counted, by `LinkRun.stream_id`."""
        return msgspec.convert(self._receiver.stop()["streams"], dict[str, StreamSummary])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._receiver.__exit__(kind, value, traceback)

    def _answers(self, stream_id: str, num_forwarded: int) -> list[dict[str, Any]]:
        """Results of a stream, after a wait for those of frames that are on their way."""
        num_before, since_s = 0, time.monotonic()
        while len(found := self._results.of(stream_id)) < num_forwarded:
            if not self._receiver.is_running:
                raise self._receiver.failure()
            if len(found) > num_before:
                num_before, since_s = len(found), time.monotonic()
            elif time.monotonic() - since_s > _ANSWER_TIMEOUT_S:
                break
            time.sleep(_POLL_S)
        return found


class ResultLines:
    """Reads a file of results while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num_bytes = 0
        self._by_stream: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def of(self, stream_id: str) -> list[dict[str, Any]]:
        """Results of a stream so far."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._num_bytes)
                # Up to the size that the file has now: a device in its place, as in a test of a full disk, has no end.
                data = file.read(max(0, os.fstat(file.fileno()).st_size - self._num_bytes))
            whole, _, _ = data.rpartition(b"\n")  # the last line may be half written
            for line in whole.splitlines():
                result = msgspec.json.decode(line)
                self._by_stream[result["stream_id"]].append(result)
            self._num_bytes += len(whole) + 1 if whole else 0
        return self._by_stream[stream_id]
