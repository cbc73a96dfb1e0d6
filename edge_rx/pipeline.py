"""The receiver's data path.

bytes --unpack--> frame --dequantize--> symbols --equalize--> observation --decode--> query --search--> candidate
candidate --record of the knowledge base--> match
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typing_extensions import Self

from edge_rx.decoders.base import Candidate, Decoder, Query
from edge_rx.decoders.options import DEFAULT_DECODER_OPTIONS, DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.match import Match
from edge_rx.noise import NoiseEstimators
from edge_rx.reception import Reception, by_decoder
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.closing import Closing
from semlink.errors import DecodeError
from semlink.frame import Frame, FrameId, unpack
from semlink.iq import dequantize
from semlink.message import Message
from semlink.rejections import Rejections
from semlink.sequence import SequenceTracker
from semlink.timing import StageClock, elapsed_ms

__all__ = ["END_TO_END", "RECEIVE_TO_MATCH", "Batch", "Receiver"]

END_TO_END = "end_to_end"
"""Stage from the transmitter's capture to the match, by the hosts' wall clocks."""

RECEIVE_TO_MATCH = "receive_to_match"
"""Stage from a message's bytes in memory to its match."""


@dataclass(frozen=True)
class Batch:
    """Matches of messages that were answered together, and the error that ended them, if any.

    Attributes
    ----------
    matches : matches in the order of the messages
    num_unanswered : frames that were accepted and have neither a match nor a reason for rejection, because of `failure`
    failure : error that ended the batch; the matches before it are valid
    """

    matches: list[Match]
    num_unanswered: int = 0
    failure: Exception | None = None

    def complete(self) -> list[Match]:
        """Return the matches, or raise the error that ended the batch."""
        if self.failure is not None:
            raise self.failure
        return self.matches


class Receiver(Closing):
    """Turns messages into matches, and counts messages without a match.

    Parameters
    ----------
    decoders : decoders of the transmitters' model set, over `knowledge_base`
    knowledge_base : knowledge base built with the same set's encoder
    min_confidence : smallest confidence of an accepted match; None accepts every match
    tracker, clock : count lost frames and collect latencies; new ones by default

    Attributes
    ----------
    rejected : number of dropped messages, by reason
    noise : noise estimate of each stream
    num_matches, num_accepted : matches, and those whose confidence reaches `min_confidence`
    batches : number of searches, by the number of frames in the search
    knowledge_base_fingerprint : in hex, for results, and for reports to `index` transmitters
    """

    def __init__(
        self,
        decoders: Decoders,
        knowledge_base: KnowledgeBase,
        *,
        min_confidence: float | None = None,
        tracker: SequenceTracker | None = None,
        clock: StageClock | None = None,
    ) -> None:
        self.tracker = tracker or SequenceTracker()
        self.clock = clock or StageClock()
        self.rejected = Rejections()
        self.num_matches = 0
        self.num_accepted = 0
        self.batches: Counter[int] = Counter()
        self.noise = NoiseEstimators()
        self.knowledge_base_fingerprint = knowledge_base.fingerprint.hex()
        self._decoders, self._knowledge_base, self._min_confidence = decoders, knowledge_base, min_confidence

    @classmethod
    def open(
        cls,
        kb: str | Path,
        *,
        model_set: str = "builtin",
        min_confidence: float | None = None,
        options: DecoderOptions = DEFAULT_DECODER_OPTIONS,
    ) -> Self:
        """Open a knowledge base's folder and load the decoders of a model set.

        Parameters
        ----------
        kb : folder of a knowledge base
        model_set : name of a built-in model set, or a folder
        options : rates, threads, batch size and engines of the decoders

        Raises
        ------
        KnowledgeBaseError, ModelSetError, EngineError
            If the knowledge base or the model set is missing, damaged, or does not fit the other.
        """
        models = ModelSet.find(model_set)
        knowledge_base = KnowledgeBase.open(
            Path(kb),
            models.encoder_fingerprint,
            encoder_name=models.manifest.encoder.name,
            num_threads=options.num_threads,
            gpu=options.gpu,
        )
        try:
            return cls(Decoders.of(models, knowledge_base, options), knowledge_base, min_confidence=min_confidence)
        except BaseException:
            knowledge_base.close()
            raise

    def close(self) -> None:
        """Close the knowledge base."""
        self._knowledge_base.close()

    @property
    def codebooks(self) -> tuple[str, ...]:
        """SHA-256 of each codebook of `adapted` that is decoded, in hex, that of the knowledge base as it is first."""
        return tuple(codebook.sha256 for codebook in self._decoders.codebooks)

    @property
    def newest_codebook(self) -> KnowledgeBaseCodebook | None:
        """Codebook of the knowledge base as it is; None if it has none."""
        return next(iter(self._decoders.codebooks), None)

    @property
    def features_index(self) -> str:
        """Description of the search for features: index, device, precision."""
        return self._knowledge_base.search_description

    def run_once(self, data: bytes) -> Match | None:
        """Answer one message.

        Returns
        -------
        match : None for a repeat, for the end of a stream, and for bad bytes, which are counted in `rejected`, logged
            and dropped

        Raises
        ------
        EngineError, KnowledgeBaseError
            If the decoder or the knowledge base fails.
        """
        reception = self._receive(Message(data, time.perf_counter_ns()))
        if reception is None:
            return None
        query = self._decode([reception])
        (candidate,) = self._search([reception], query)
        return None if candidate is None else self._match(reception, candidate)

    def run_batch(self, messages: Sequence[Message]) -> Batch:
        """Answer messages together: as one after another, but frames of one decoder share its calls.

        Repeats, ends of streams, noise estimates and matches keep their order. A bad frame is rejected alone. Sums of a
        batch are rounded differently, so scores may differ in their last digits from those of single frames.
        """
        receptions = [each for message in messages if (each := self._receive(message)) is not None]
        found: dict[FrameId, Candidate] = {}
        matches: list[Match] = []
        failure: Exception | None = None
        num_rejected = 0
        try:
            for group in by_decoder(receptions):
                candidates = self._search(group, self._decode(group))
                num_rejected += candidates.count(None)
                found |= {each.frame.frame_id: it for each, it in zip(group, candidates, strict=True) if it is not None}
        except Exception as error:  # noqa: BLE001  returned with the matches of the decoders before it
            failure = error
        try:
            for reception in receptions:
                if (candidate := found.get(reception.frame.frame_id)) is not None:
                    matches.append(self._match(reception, candidate))  # noqa: PERF401  those before a failure stay
        except Exception as error:  # noqa: BLE001  returned with the matches before the one that failed
            failure = failure or error
        return Batch(matches, len(receptions) - num_rejected - len(matches), failure)

    def _receive(self, message: Message) -> Reception | None:
        """Unpack a message, dequantize its symbols and equalise them; None for all but a new image that is valid."""
        try:
            start_ns = time.perf_counter_ns()
            frame = unpack(message.data)
            unpack_ms = elapsed_ms(start_ns)
            decoder = self._decoder_of_new(frame)
            if decoder is None:
                return None
            self.clock.record("unpack", unpack_ms)
            with self.clock.stage("dequantize"):
                symbols = dequantize(frame.codes, frame.codes_format)
            noise = self.noise.of(frame.stream_id)
            start_ns = time.perf_counter_ns()
            observation = decoder.equalize(symbols, num_pilots=frame.num_pilots, noise=noise)
            equalize_ms = elapsed_ms(start_ns)
        except DecodeError as error:
            self.rejected.count(error)
            return None
        stage_ms = {"unpack": unpack_ms, "dequantize": self.clock.last_ms["dequantize"]}
        return Reception(frame, decoder, observation, message.received_ns, equalize_ms, stage_ms)

    def _decoder_of_new(self, frame: Frame) -> Decoder | None:
        """Find the decoder of a frame that is new to its stream; None for a repeat and for the end of a stream.

        Raises
        ------
        DecodeError
            If the frame's models are not served.
        """
        # Streams of unknown models are not tracked, so that they neither fill memory nor keep `--until-end` waiting.
        try:
            decoder = self._decoders.decoder(frame.fingerprint)
        except DecodeError:
            if frame.is_end_of_stream:
                return None  # the stream's images are counted as rejected, its end is not an image
            raise
        if frame.is_end_of_stream:
            self.tracker.close(frame.frame_id)
            return None
        return decoder if self.tracker.observe(frame.frame_id) else None

    def _decode(self, group: Sequence[Reception]) -> Query:
        """Estimate the queries of images of one decoder together."""
        start_ns = time.perf_counter_ns()
        observations = [reception.observation for reception in group]
        observation = observations[0] if len(observations) == 1 else np.concatenate(observations)
        query = group[0].decoder.decode(observation)
        decode_ms = elapsed_ms(start_ns)
        for reception in group:
            reception.record("decode", reception.equalize_ms + decode_ms, self.clock)
        return query

    def _search(self, group: Sequence[Reception], query: Query) -> list[Candidate | None]:
        """Search for the queries of a group; one without a direction is rejected, and its candidate is None."""
        start_ns = time.perf_counter_ns()
        candidates = group[0].decoder.search(query)
        search_ms = elapsed_ms(start_ns)
        self.batches[len(group)] += 1
        for reception, candidate in zip(group, candidates, strict=True):
            reception.record("search", search_ms, self.clock)
            if candidate is None:
                self.rejected.count(DecodeError("symbols decode to no direction: the query is zero or not finite"))
        return candidates

    def _match(self, reception: Reception, candidate: Candidate) -> Match:
        record = self._knowledge_base.record(candidate.entry_id)
        reception.record(RECEIVE_TO_MATCH, elapsed_ms(reception.received_ns), self.clock)
        match = Match.of(
            reception.frame,
            candidate,
            record,
            knowledge_base=self.knowledge_base_fingerprint,
            codec=reception.decoder.codec,
            accepted=self._min_confidence is None or candidate.confidence >= self._min_confidence,
            stage_ms=reception.stage_ms,
        )
        self.clock.record(END_TO_END, match.latency_ms)
        self.num_matches += 1
        self.num_accepted += match.accepted
        return match
