"""From the moment that a sender hands a frame to ZeroMQ to its match, transport included.

The sender is another process of the same machine (`benchmarks.frame_sender`), over TCP on loopback; both ends read the
machine's one wall clock. One frame is on its way at a time.
"""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from benchmarks.frame_sender import frame_sender
from benchmarks.graphs import BACKEND, codec_graphs
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.pipeline import Receiver
from semlink.timing import summarize_latency
from semlink.transport import FrameReceiver

NUM_CODES = 100
NUM_WARM_UP = 20


@pytest.mark.parametrize(("idle_s", "num_frames"), [(0.0, 2_000), (0.1, 100)], ids=["hot", "after_100_ms_idle"])
def test_receive_to_match_with_transport(
    benchmark, model_set, codec, rate, knowledge_base_folder, tmp_path, idle_s, num_frames
):
    chosen = model_set.codec(codec)
    to_codes = codec_graphs(chosen, rate)
    with (
        KnowledgeBase.open(knowledge_base_folder) as kb,
        FrameReceiver("tcp://127.0.0.1:*") as frames,
    ):
        sent = np.linspace(0, kb.num_entries - 1, NUM_CODES).astype(int)
        codes = np.stack([to_codes(features) for features in kb.features()[sent][:, None]])
        receiver = Receiver(Decoders.of(model_set, kb, DecoderOptions(rates=[rate], backend=BACKEND)), kb)
        with frame_sender(frames, codes, chosen.fingerprint(rate), tmp_path) as next_frame:

            def next_match():
                time.sleep(idle_s)
                match = receiver.run_once(next_frame())
                assert match is not None, receiver.rejected
                return match

            def stream():
                return [next_match() for _ in range(NUM_WARM_UP + num_frames)]

            matches = benchmark.pedantic(stream, rounds=1)
    assert [match.frame_id.sequence for match in matches] == list(range(NUM_WARM_UP + num_frames))
    # Of entries that sound alike the answer may be a neighbour; by chance it would be right once in 5,000 times.
    right = np.mean([match.entry_id == sent[match.frame_id.sequence % NUM_CODES] for match in matches])
    assert right > 0.2
    timed = matches[NUM_WARM_UP:]
    benchmark.extra_info["latency_ms"] = msgspec.to_builtins(summarize_latency([m.latency_ms for m in timed]))
    benchmark.extra_info["stage_latency_ms"] = {
        part: msgspec.to_builtins(summarize_latency([match.stage_ms[part] for match in timed]))
        for part in timed[0].stage_ms
    }
