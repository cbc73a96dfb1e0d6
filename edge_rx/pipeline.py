"""The receiver's data path.

bytes --unpack--> frame --dequantize--> symbols --equalize--> observation --decode--> query --search--> candidate
candidate --record of the knowledge base--> match
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from edge_rx.decoders.base import Candidate, Observation
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.match import Match
from edge_rx.noise import NoiseEstimators
from edge_rx.reception import Reception, by_decoder
from edge_rx.rejections import Rejections
from engines.models.model_set import ModelSet
from semlink.closing import Closing
from semlink.errors import DecodeError
from semlink.frame import unpack
from semlink.iq import dequantize
from semlink.message import Message
from semlink.sequence import SequenceTracker
from semlink.timing import StageClock

__all__ = ["END_TO_END", "RECEIVE_TO_MATCH", "Batch", "Receiver"]

END_TO_END = "end_to_end"
"""Stage from the transmitter's capture to the match, by the hosts' wall clocks."""

RECEIVE_TO_MATCH = "receive_to_match"
"""Stage from a message's bytes in memory to its match."""


@dataclass
class Batch:
    """What became of messages that were answered together.

    Attributes
    ----------
    matches : matches in the order of the messages
    num_unanswered : frames that were accepted and have neither a match nor a reason for rejection, because of `failure`
    failure : error that ended the batch; the matches before it are valid
    """

    matches: list[Match] = field(default_factory=list)
    num_unanswered: int = 0
    failure: Exception | None = None


class Receiver(Closing):
    """Turns messages into matches, and counts messages without a match.

    Parameters
    ----------
    decoders : decoders of the transmitters' model set, over `knowledge_base`
    knowledge_base : knowledge base built with the same set's encoder
    min_score : smallest score of an accepted match; None accepts every match
    tracker, clock : count lost frames and collect latencies; new ones by default

    Attributes
    ----------
    rejected : number of dropped messages, by reason
    noise : noise estimate of each stream
    num_matches, num_accepted : matches, and those whose score reaches `min_score`
    batches : number of decoder calls, by the number of frames in the call
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
        self.rejected = Rejections()
        self.num_matches = 0
        self.num_accepted = 0
        self.batches: Counter[int] = Counter()
        self.noise = NoiseEstimators()
        self._decoders, self._knowledge_base, self._min_score = decoders, knowledge_base, min_score

    @classmethod
    def open(
        cls, kb: str | Path, *, model_set: str = "builtin", min_score: float | None = None, **options: Any
    ) -> Self:
        """Open a knowledge base's folder and load the decoders of a model set.

        Parameters
        ----------
        kb : folder of a knowledge base
        model_set : name of a built-in model set, or a folder
        options : fields of `edge_rx.decoders.options.DecoderOptions`

        Raises
        ------
        KnowledgeBaseError, ModelSetError, EngineError
            If the knowledge base or the model set is missing, damaged, or does not fit the other.
        """
        models = ModelSet.find(model_set)
        decoder_options = DecoderOptions(**options)
        knowledge_base = KnowledgeBase.open(
            Path(kb),
            models.encoder_fingerprint,
            encoder_name=models.manifest.encoder.name,
            num_threads=decoder_options.num_threads,
            gpu=decoder_options.gpu,
        )
        try:
            return cls(Decoders.of(models, knowledge_base, decoder_options), knowledge_base, min_score=min_score)
        except BaseException:
            knowledge_base.close()
            raise

    def close(self) -> None:
        """Close the knowledge base."""
        self._knowledge_base.close()

    @property
    def knowledge_base_fingerprint(self) -> str:
        """Fingerprint that `index` transmitters compare with that of their entry codebook, in hex."""
        return self._knowledge_base.fingerprint.hex()

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
        """
        try:
            image = self._receive(Message(data, time.perf_counter_ns()))
            if image is None:
                return None
            with image.stage("decode"):
                observation = self._equalize(image)
                query = image.decoder.decode(observation)
            with image.stage("search"):
                (candidate,) = image.decoder.search(query)
            self.batches[1] += 1
            return self._match(image, _with_direction(candidate))
        except DecodeError as error:
            self.rejected.count(error)
            return None

    def run_batch(self, messages: Sequence[Message]) -> Batch:
        """Answer messages together: as one after another, but frames of one decoder share its calls.

        Repeats, ends of streams, noise estimates and matches keep their order. A bad frame is rejected alone. Sums of a
        batch are rounded differently, so scores may differ in their last digits from those of single frames.
        """
        images, observations = self._observe(messages)
        candidates: dict[int, Candidate] = {}
        batch, num_rejected = Batch(), 0
        try:
            for group in by_decoder(images):
                found = self._find([images[index] for index in group], [observations[index] for index in group])
                num_rejected += found.count(None)
                candidates |= {index: each for index, each in zip(group, found, strict=True) if each is not None}
        except Exception as error:  # noqa: BLE001  returned with the matches that were found before it
            batch.failure = error
        try:
            batch.matches.extend(self._match(images[index], candidates[index]) for index in sorted(candidates))
        except Exception as error:  # noqa: BLE001  as above
            batch.failure = batch.failure or error
        batch.num_unanswered = len(images) - num_rejected - len(batch.matches)
        return batch

    def _observe(self, messages: Sequence[Message]) -> tuple[list[Reception], list[Observation]]:
        """Receive and equalise each message in order; bad ones are rejected."""
        images: list[Reception] = []
        observations: list[Observation] = []
        for message in messages:
            try:
                image = self._receive(message)
                if image is None:
                    continue
                start_ns = time.perf_counter_ns()
                observations.append(self._equalize(image))
            except DecodeError as error:
                self.rejected.count(error)
                continue
            image.stage_ms["decode"] = (time.perf_counter_ns() - start_ns) / 1e6
            images.append(image)
        return images, observations

    def _receive(self, message: Message) -> Reception | None:
        """Unpack a message; None for a repeat and for the end of a stream.

        Raises
        ------
        DecodeError
            If the bytes are bad, or the frame's models are not served.
        """
        start_ns = time.perf_counter_ns()
        frame = unpack(message.data)
        unpack_ms = (time.perf_counter_ns() - start_ns) / 1e6
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
        if not self.tracker.observe(frame.frame_id):
            return None
        self.clock.record("unpack", unpack_ms)
        start_ns = time.perf_counter_ns()
        symbols = dequantize(frame.codes, frame.codes_format)
        image = Reception(frame, decoder, symbols, message.received_ns, self.clock, {"unpack": unpack_ms})
        image.record("dequantize", (time.perf_counter_ns() - start_ns) / 1e6)
        return image

    def _equalize(self, image: Reception) -> Observation:
        noise = self.noise.of(image.frame.frame_id.stream_id)
        return image.decoder.equalize(image.symbols, num_pilots=image.frame.num_pilots, noise=noise)

    def _find(self, group: Sequence[Reception], observations: Sequence[Observation]) -> list[Candidate | None]:
        """Decode and search images of one decoder together; None for one whose query has no direction."""
        decoder = group[0].decoder
        start_ns = time.perf_counter_ns()
        query = decoder.decode(observations[0] if len(observations) == 1 else np.concatenate(observations))
        decode_ms = (time.perf_counter_ns() - start_ns) / 1e6
        start_ns = time.perf_counter_ns()
        candidates = decoder.search(query)
        search_ms = (time.perf_counter_ns() - start_ns) / 1e6
        self.batches[len(group)] += 1
        for image, candidate in zip(group, candidates, strict=True):
            image.record("decode", image.stage_ms["decode"] + decode_ms)
            image.record("search", search_ms)
            if candidate is None:
                self.rejected.count(_no_direction())
        return candidates

    def _match(self, image: Reception, candidate: Candidate) -> Match:
        record = self._knowledge_base.record(candidate.entry_id)
        image.record(RECEIVE_TO_MATCH, (time.perf_counter_ns() - image.received_ns) / 1e6)
        match = Match.of(
            image.frame,
            candidate,
            record,
            codec=image.decoder.codec,
            accepted=self._min_score is None or candidate.score >= self._min_score,
            stage_ms=image.stage_ms,
        )
        self.clock.record(END_TO_END, match.latency_ms)
        self.num_matches += 1
        self.num_accepted += match.accepted
        return match


def _with_direction(candidate: Candidate | None) -> Candidate:
    if candidate is None:
        raise _no_direction()
    return candidate


def _no_direction() -> DecodeError:
    return DecodeError("symbols decode to no direction: the query is zero or not finite")
