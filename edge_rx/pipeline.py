"""The receiver's data path."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_rx.decoders.base import Answer, Decoder, Decoders, Observation
from edge_rx.kb import KnowledgeBase
from edge_rx.match import Match
from edge_rx.noise import NoiseEstimators
from semlink.errors import DecodeError
from semlink.frame import Frame, unpack
from semlink.iq import dequantize
from semlink.message import Message
from semlink.rates import channel_bandwidth_ratio
from semlink.sequence import SequenceTracker
from semlink.timing import StageClock

__all__ = ["END_TO_END", "Receiver"]

_log = logging.getLogger(__name__)

END_TO_END = "end_to_end"
"""Stage name of the time from the transmitter's capture to the match, by the hosts' wall clocks."""

RECEIVE_TO_MATCH = "receive_to_match"
"""Stage name of the time from a message's bytes in memory to its match."""

_MAX_COUNT = 2**63 - 1
"""Largest sequence number and time that a database column, or any real transmitter, can hold."""


@dataclass(slots=True)
class _Transmission:
    """A new image on the way to its match."""

    frame: Frame
    received_ns: int
    decoder: Decoder
    observation: Observation
    stage_ms: dict[str, float]
    answer: Answer | None = None
    is_rejected: bool = False


class Receiver:
    """Turns messages into matches, and counts those that are none.

    Parameters
    ----------
    decoders : of the model set that the transmitters use, over `knowledge_base`
    knowledge_base : built with the same set's encoder
    min_score : score below which a match is marked as not accepted; None accepts every match
    tracker, clock : collect what streams lost and where time went; new ones if not given

    Attributes
    ----------
    rejected : messages that were dropped, by reason
    noise : what each stream's noise is estimated to be
    num_matches, num_accepted : answers handed out, and those that reached `min_score`
    batches : how often so many frames shared one call of a decoder and its search, also those without an answer
    """

    def __init__(
        self,
        decoders: Decoders,
        knowledge_base: KnowledgeBase,
        *,
        min_score: float | None = None,
        tracker: SequenceTracker | None = None,
        clock: StageClock | None = None,
    ) -> None:
        self.tracker = tracker or SequenceTracker()
        self.clock = clock or StageClock()
        self.rejected: Counter[str] = Counter()
        self.num_matches = 0
        self.num_accepted = 0
        self.batches: Counter[int] = Counter()
        self._decoders = decoders
        self.noise = NoiseEstimators()
        self._knowledge_base = knowledge_base
        self._min_score = min_score

    @property
    def knowledge_base_fingerprint(self) -> str:
        """What `index` transmitters compare with that of their keys, in hex."""
        return self._knowledge_base.fingerprint.hex()

    @property
    def features_index(self) -> str:
        """What features are searched with, and where."""
        return self._knowledge_base.search_description

    def run_once(self, data: bytes) -> Match | None:
        """Answer one message.

        Returns
        -------
        match : None for a repeat, for the end of a stream, and for bytes that are bad, which are
            counted in `rejected`, logged and dropped
        """
        return next(self.run_batch([Message(data, time.perf_counter_ns())]), None)

    def run_batch(self, messages: Sequence[Message]) -> Generator[Match, None, None]:
        """Answer messages together: as one after another, but that frames of one decoder share its calls.

        What has an order keeps it: repeats, ends of streams, what is learnt of a stream's noise, and the matches.
        A frame that is bad is rejected alone. Sums of a batch are rounded otherwise, so that scores may differ in
        their last digits from those of frames that come alone.

        Yields
        ------
        match : of each message that has one, see `run_once`, in their order. An error comes after those that were
            found before it, and the log says how many frames were taken and are left without an answer
        """
        observation = [new for message in messages if (new := self._hear(message)) is not None]
        matches: list[Match] = []
        failure: Exception | None = None
        try:
            self._find(observation, matches)
        except Exception as error:  # noqa: BLE001  raised again, when what was found before it is handed out
            failure = error
        num_left = sum(not image.is_rejected for image in observation)
        try:
            for match in matches:
                self.num_matches += 1
                self.num_accepted += match.accepted
                num_left -= 1
                yield match
        finally:
            if num_left:
                _log.error("%d frames were taken and are left unanswered", num_left)
        if failure is not None:
            raise failure

    def _find(self, observation: Sequence[_Transmission], matches: list[Match]) -> None:
        """Fill in the match of each image that has one, in order; also of those found before a decoder fails."""
        try:
            for together in _by_decoder(observation):
                self._answer(together)
        finally:
            for image in observation:
                if image.answer is not None:
                    # One by one: what is there already stays when a record is missing.
                    matches.append(self._match(image, *image.answer))  # noqa: PERF401

    def _hear(self, message: Message) -> _Transmission | None:
        """Take one message as far as its own stream goes; None if there is nothing in it to answer."""
        stage_ms: dict[str, float] = {}
        try:
            start_ns = time.perf_counter_ns()
            frame = unpack(message.data)
            self._took("unpack", start_ns, stage_ms)
            if not self._is_new_image(frame):
                return None
            start_ns = time.perf_counter_ns()
            received = dequantize(frame.codes, frame.codes_format)
            self._took("dequantize", start_ns, stage_ms)
            decoder = self._decoders.decoder(frame.fingerprint)
            start_ns = time.perf_counter_ns()
            noise = self.noise.of(frame.frame_id.stream_id)
            observation = decoder.equalize(received, num_pilots=frame.num_pilots, noise=noise)
        except DecodeError as error:
            self._reject(error)
            return None
        stage_ms["decode"] = (time.perf_counter_ns() - start_ns) / 1e6
        return _Transmission(frame, message.received_ns, decoder, observation, stage_ms)

    def _took(self, stage: str, start_ns: int, stage_ms: dict[str, float]) -> None:
        stage_ms[stage] = (time.perf_counter_ns() - start_ns) / 1e6
        self.clock.record(stage, stage_ms[stage])

    def _answer(self, together: Sequence[_Transmission]) -> None:
        """Decode images of one decoder, and search for them."""
        decoder = together[0].decoder
        start_ns = time.perf_counter_ns()
        alone = len(together) == 1
        query = decoder.decode(
            together[0].observation if alone else np.concatenate([image.observation for image in together])
        )
        decoded_ns = time.perf_counter_ns()
        answers = decoder.search(query)
        found_ns = time.perf_counter_ns()
        self.batches[len(together)] += 1
        for image, answer in zip(together, answers, strict=True):
            image.answer = answer
            if answer is None:
                self._reject(DecodeError("symbols decode to no direction: the query is zero or not finite"))
                image.is_rejected = True
            image.stage_ms["decode"] += (decoded_ns - start_ns) / 1e6
            image.stage_ms["search"] = (found_ns - decoded_ns) / 1e6
            for name in ("decode", "search"):
                self.clock.record(name, image.stage_ms[name])

    def _is_new_image(self, frame: Frame) -> bool:
        if max(frame.sequence, frame.capture_time_ns) > _MAX_COUNT:
            raise DecodeError(
                f"implausible header: sequence {frame.sequence}, captured at {frame.capture_time_ns} ns;"
                f" neither can exceed {_MAX_COUNT}"
            )
        # A stranger's streams are not counted, so they can neither fill the memory nor keep the receiver waiting.
        try:
            self._decoders.decoder(frame.fingerprint)
        except DecodeError:
            if frame.is_end_of_stream:
                return False  # as many are counted as rejected as pictures were sent
            raise
        if frame.is_end_of_stream:
            self.tracker.close(frame.frame_id)
            return False
        return self.tracker.observe(frame.frame_id)

    def _reject(self, error: DecodeError) -> None:
        reason = _reason(error)
        self.rejected[reason] += 1
        # The first of its kind is news; a flood of them must not be a flood in the log.
        _log.log(logging.WARNING if self.rejected[reason] == 1 else logging.INFO, "dropped a message: %s", error)

    def _match(self, image: _Transmission, entry_id: int, score: float) -> Match:
        frame = image.frame
        record = self._knowledge_base.record(entry_id)
        matched_time_ns = time.time_ns()
        latency_ms = (matched_time_ns - frame.capture_time_ns) / 1e6
        self._took(RECEIVE_TO_MATCH, image.received_ns, image.stage_ms)
        accepted = self._min_score is None or score >= self._min_score
        match = Match(
            frame_id=frame.frame_id,
            entry_id=entry_id,
            label=record.label,
            source=record.source,
            image_sha256=record.image_sha256,
            codec=image.decoder.codec,
            score=score,
            accepted=accepted,
            capture_time_ns=frame.capture_time_ns,
            matched_time_ns=matched_time_ns,
            latency_ms=latency_ms,
            stage_ms=image.stage_ms,
            num_symbols=frame.rate.num_symbols,
            num_pilots=frame.num_pilots,
            payload_cbr=_cbr(frame, frame.rate.num_symbols),
            total_cbr=_cbr(frame, frame.rate.num_symbols + frame.num_pilots),
        )
        self.clock.record(END_TO_END, latency_ms)
        return match


def _by_decoder(images: Iterable[_Transmission]) -> list[list[_Transmission]]:
    """Images of each decoder, order kept."""
    groups: dict[int, list[_Transmission]] = {}
    for image in images:
        groups.setdefault(id(image.decoder), []).append(image)
    return list(groups.values())


def _cbr(frame: Frame, num_symbols: int) -> float | None:
    height_px, width_px = frame.source_height_px, frame.source_width_px
    if not height_px or not width_px:
        return None
    return channel_bandwidth_ratio(num_symbols, height_px=height_px, width_px=width_px)


def _reason(error: DecodeError) -> str:
    """What kind of fault this was: the message up to its first stop, numbers left out.

    Without the numbers there are as many reasons as there are messages in the code, whatever a
    peer sends.

    Examples
    --------
    >>> _reason(DecodeError("truncated: 12 bytes, a header alone has 72"))
    'truncated'
    >>> _reason(DecodeError("frame version 2, this receiver speaks 1"))
    'frame version N'
    """
    return re.sub(r"\b(0x[0-9a-f]+|\d+)\b", "N", re.split("[:;,]", str(error), maxsplit=1)[0])
