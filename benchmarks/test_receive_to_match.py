"""Time from a sender's call of ZeroMQ to the frame's match, transport included.

The sender is another process of the same machine (`benchmarks.frame_sender`), over TCP on loopback; both ends read the
machine's one wall clock. One frame is in transit at a time.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.frame_sender import frame_sender
from benchmarks.graphs import BACKEND, codec_graphs
from benchmarks.rows import latency_fields
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from engines.models.model_set import ModelSet
from semlink.rates import Rate
from semlink.timing import summarize_latency
from semlink.transport import FrameReceiver

NUM_CODES = 100
NUM_WARM_UP = 20


@pytest.mark.parametrize(("idle_s", "num_frames"), [(0.0, 2_000), (0.1, 100)], ids=["hot", "after_100_ms_idle"])
def test_receive_to_match_with_transport(
    benchmark: BenchmarkFixture,
    model_set: ModelSet,
    codec: str,
    rate: Rate,
    knowledge_base_folder: Path,
    tmp_path: Path,
    idle_s: float,
    num_frames: int,
) -> None:
    chosen = model_set.codec(codec)
    to_codes = codec_graphs(chosen, rate)
    with (
        KnowledgeBase.open(knowledge_base_folder) as kb,
        FrameReceiver("tcp://127.0.0.1:*") as frames,
    ):
        sent = np.linspace(0, kb.num_entries - 1, NUM_CODES).astype(int)
        codes = np.stack([to_codes(features) for features in kb.features()[sent][:, None]]).astype(np.int8)
        receiver = Receiver(Decoders.of(model_set, kb, DecoderOptions(rates=[rate], backend=BACKEND)), kb)
        with frame_sender(frames, codes, chosen.fingerprint(rate), tmp_path) as next_frame:

            def next_match() -> Match:
                time.sleep(idle_s)
                match = receiver.run_once(next_frame())
                assert match is not None, receiver.rejected
                return match

            def stream() -> list[Match]:
                return [next_match() for _ in range(NUM_WARM_UP + num_frames)]

            matches = benchmark.pedantic(stream, rounds=1)
    assert [match.frame_id.sequence for match in matches] == list(range(NUM_WARM_UP + num_frames))
    # Similar entries are confused with each other; a random match would be correct once in 5,000 times.
    accuracy = np.mean([match.entry_id == sent[match.frame_id.sequence % NUM_CODES] for match in matches])
    assert accuracy > 0.2
    timed = matches[NUM_WARM_UP:]
    stage_ms = {part: [match.stage_ms[part] for match in timed] for part in timed[0].stage_ms}
    benchmark.extra_info.update(latency_fields(summarize_latency([match.latency_ms for match in timed])))
    benchmark.extra_info["parts"] = {
        part: latency_fields(summarize_latency(values)) for part, values in stage_ms.items()
    }
