"""Frames that queue up are answered together, and as if each had come alone."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_rx.decoders.options import Answer, DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from engines.models.entry_codebook import entry_codewords, index_fingerprint
from engines.models.model_set import ModelSet
from semlink.channel import complex_normal
from semlink.frame import end_of_stream, pack
from semlink.image import RGBImage
from semlink.iq import CodesFormat, normalize_power, pair_latent
from semlink.message import Message
from semlink.rates import parse_rate
from tests.support.frames import FrameMaker, frame_of


def mixed_messages(models: ModelSet, kb: Path, pictures: dict[str, RGBImage], *, num_rounds: int = 3) -> list[bytes]:
    """Two streams of every codec and several rates, in noise, with all that can be wrong between them."""
    rng = np.random.default_rng(0)
    with KnowledgeBase.open(kb) as knowledge_base:
        fingerprint = knowledge_base.fingerprint
    makers = [FrameMaker(models, num_symbols) for num_symbols in (16, 64)]
    nested, rates = models.codec("nested"), [parse_rate(text) for text in ("8", "16", "64", "256")]
    messages, sequence = [], 0
    for picture in list(pictures.values())[:num_rounds]:
        for stream_id in (1, 2):
            frames = [
                replace(maker.frame(picture, 0, num_pilots=num_pilots, codes_format=codes_format), stream_id=stream_id)
                for maker in makers
                for num_pilots, codes_format in ((0, CodesFormat.SC8), (1, CodesFormat.SC16), (8, CodesFormat.CF32))
            ]
            for rate in rates:
                noise = 0.3 * complex_normal((rate.num_symbols,), rng)
                said = normalize_power(complex_normal((rate.num_symbols,), rng))
                frames.append(frame_of(nested.fingerprint(rate), said + noise, stream_id, 0, num_pilots=2))
                codeword = pair_latent(entry_codewords(fingerprint, rng.integers(0, 12, 1), rate))[0]
                space = index_fingerprint(models.encoder_fingerprint, fingerprint, rate)
                frames.append(frame_of(space, codeword + noise, stream_id, 0))
            frames.append(replace(frames[0], codes=np.zeros_like(frames[0].codes)))  # decodes to no direction
            frames.append(replace(frames[0], fingerprint=bytes(16)))  # of unknown models
            for frame in frames:
                messages.append(pack(replace(frame, sequence=sequence)))
                sequence += 1
        messages += [b"noise", messages[-3][:-1], messages[-5], messages[0]]  # bad twice, repeated twice
    for stream_id in (1, 2):
        rate = parse_rate("16")
        messages.insert(-3, pack(end_of_stream(stream_id, sequence, makers[0].fingerprint, rate, 0)))
    return messages


def lasting(match: Match) -> tuple[object, ...]:
    """All of a match that no clock tells, but its score and confidence."""
    return (match.frame_id, match.entry_id, match.source, match.codec, match.num_symbols, match.num_pilots)


@pytest.mark.parametrize("batch", [2, 7, 256])
@pytest.mark.parametrize("answer", ["label", "nearest"])
def test_a_batch_answers_as_one_frame_after_another(
    every_codec: ModelSet,
    knowledge_base: KnowledgeBase,
    built_kb: Path,
    pictures: dict[str, RGBImage],
    answer: Answer,
    batch: int,
) -> None:
    decoders = Decoders.of(every_codec, knowledge_base, DecoderOptions(answer=answer))
    alone, together = (Receiver(decoders, knowledge_base) for _ in range(2))
    messages = mixed_messages(every_codec, built_kb, pictures)
    expected = [match for data in messages if (match := alone.run_once(data)) is not None]
    got: list[Match] = []
    for start in range(0, len(messages), batch):
        got += together.run_batch(
            [Message(data, time.perf_counter_ns()) for data in messages[start : start + batch]]
        ).matches
    assert len(expected) > 70
    assert {match.codec for match in expected} == {"synthetic-codec", "nested", "index"}
    assert [lasting(match) for match in got] == [lasting(match) for match in expected]
    np.testing.assert_allclose([match.score for match in got], [match.score for match in expected], atol=1e-5)
    np.testing.assert_allclose([match.confidence for match in got], [match.confidence for match in expected], atol=1e-4)
    assert together.rejected == alone.rejected
    assert set(alone.rejected) >= {"unknown models", "truncated", "symbols decode to no direction"}
    assert together.tracker.streams == alone.tracker.streams
    assert together.noise.snr_db() == alone.noise.snr_db()
    assert together.num_matches == len(got)
    # Silence is a direction to no search among signals, and found to be none by the search of the network's features.
    num_silent = alone.rejected["symbols decode to no direction"]
    num_searched = len(got) + (num_silent if answer == "nearest" else 0)
    assert sum(size * count for size, count in together.batches.items()) == num_searched
    assert alone.batches == {1: num_searched}


def test_frames_of_one_decoder_share_its_calls(
    receivers: tuple[Receiver, Receiver], every_decoder: Decoders, maker: FrameMaker, pictures: dict[str, RGBImage]
) -> None:
    _, receiver = receivers
    calls: list[int] = []
    decoder = every_decoder.decoder(maker.fingerprint)
    decode = decoder.decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "decode", lambda observation: calls.append(len(observation)) or decode(observation))
        frames = [pack(maker.frame(picture, sequence)) for sequence, picture in enumerate(pictures.values())]
        receiver.run_batch([Message(data, time.perf_counter_ns()) for data in frames])
    assert calls == [len(pictures)]
    assert receiver.batches == {len(pictures): 1}


def test_frames_of_several_decoders_are_no_batch(
    receivers: tuple[Receiver, Receiver], every_codec: ModelSet, pictures: dict[str, RGBImage]
) -> None:
    receiver, _ = receivers
    makers = [FrameMaker(every_codec, num_symbols) for num_symbols in (16, 64)]
    few = list(pictures.values())[:6]
    frames = [pack(makers[place % 3 == 0].frame(picture, place)) for place, picture in enumerate(few)]
    assert len(receiver.run_batch([Message(data, time.perf_counter_ns()) for data in frames]).matches) == 6
    assert receiver.batches == {2: 1, 4: 1}


def test_each_frame_tells_its_own_wait(receiver: Receiver, maker: FrameMaker, pictures: dict[str, RGBImage]) -> None:
    now_ns = time.perf_counter_ns()
    frames = [pack(maker.frame(picture, sequence)) for sequence, picture in enumerate(pictures.values())][:3]
    waited_ms = (500, 100, 0)
    messages = [Message(data, now_ns - ms * 1_000_000) for data, ms in zip(frames, waited_ms, strict=True)]
    matches = receiver.run_batch(messages).matches
    for match, ms in zip(matches, waited_ms, strict=True):
        assert match.stage_ms["receive_to_match"] > ms + match.stage_ms["decode"] + match.stage_ms["search"]
        assert list(match.stage_ms) == ["unpack", "dequantize", "decode", "search", "receive_to_match"]
    assert len({match.stage_ms["search"] for match in matches}) == 1, "the search was one call"
    stages = receiver.clock.summary()
    assert {stages[name].num_samples for name in ("decode", "search", "receive_to_match")} == {3}
