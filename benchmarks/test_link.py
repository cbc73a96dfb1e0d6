"""Both ends together: over a socket in one process, and as the processes that a user starts."""

from __future__ import annotations

import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
from PIL import Image

from benchmarks.conftest import NUM_THREADS, OPTIONS
from benchmarks.graphs import BACKEND, DEVICE, codec_graphs, unit_features
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.noise import NoiseEstimator
from edge_rx.pipeline import Receiver
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from semlink.channel import complex_normal
from semlink.frame import Frame, pack, unpack
from semlink.iq import dequantize, normalize_power, quantize
from semlink.timing import summarize_latency
from semlink.transport import FrameReceiver, FrameSender
from trainer.datasets import open_dataset
from trainer.demo.processes import CommandProcess

NUM_IMAGES = 1_000


@pytest.fixture
def wire():
    """A sender and a receiver, connected over TCP on loopback."""
    with FrameReceiver("tcp://127.0.0.1:*") as receiver, FrameSender(receiver.endpoint) as sender:
        sender.send(b"connects")
        assert receiver.receive(timeout_s=5.0) == b"connects"
        yield sender, receiver


@pytest.fixture
def wire_there_and_back(wire):
    """The same, and a second process that sends back what it hears."""
    _, receiver = wire
    with subprocess.Popen([sys.executable, "-c", _ECHO, receiver.endpoint]) as echo:
        try:
            there = receiver.receive(timeout_s=30.0)
            assert there is not None, f"no word from the process that sends back: {echo.poll()}"
            with FrameSender(there.decode()) as forth:
                yield forth, receiver
        finally:
            echo.terminate()


_ECHO = """
import sys
from semlink.transport import FrameReceiver, FrameSender
with FrameReceiver("tcp://127.0.0.1:*") as receiver, FrameSender(sys.argv[1]) as sender:
    sender.send(receiver.endpoint.encode())
    while True:
        data = receiver.receive(timeout_s=1.0)
        if data is not None:
            sender.send(data)
"""


def hop(sender: FrameSender, receiver: FrameReceiver, data: bytes) -> bytes | None:
    """Send and wait until it is here."""
    sender.send(data)
    return receiver.receive(timeout_s=5.0)


def after_idle(wire, data):
    """Let the link sleep for 100 ms; outside of the time that is measured."""

    def idle():
        time.sleep(0.1)
        return (*wire, data), {}

    return idle


def test_transport_one_hop_hot(benchmark, wire):
    assert benchmark(hop, *wire, bytes(200)) == bytes(200)


def test_transport_one_hop_after_100_ms_idle(benchmark, wire):
    assert benchmark.pedantic(hop, setup=after_idle(wire, bytes(200)), rounds=100) == bytes(200)


def test_transport_round_trip_hot(benchmark, wire_there_and_back):
    """To another process and back."""
    assert benchmark(hop, *wire_there_and_back, bytes(200)) == bytes(200)


def test_transport_round_trip_after_100_ms_idle(benchmark, wire_there_and_back):
    assert benchmark.pedantic(hop, setup=after_idle(wire_there_and_back, bytes(200)), rounds=100) == bytes(200)


def test_transmitter_overhead_besides_the_encoder(benchmark, model_set, codec, rate, wire):
    """Codec, unit power, quantize, pack, send: everything after the features."""
    sender, frames = wire
    to_codes = codec_graphs(model_set.codec(codec), rate)
    fingerprint = model_set.codec(codec).fingerprint(rate)
    features = unit_features()

    def send():
        sender.send(pack(Frame(1, 2, 3, fingerprint, rate, to_codes(features))))

    benchmark.pedantic(send, teardown=lambda: frames.receive(timeout_s=5.0), rounds=1_000, warmup_rounds=20)
    sender.send(pack(Frame(1, 9, 3, fingerprint, rate, to_codes(features))))
    assert unpack(frames.receive(timeout_s=5.0)).sequence == 9


def test_receiver_overhead_besides_the_search(benchmark, model_set, codec, rate, wire, knowledge_base_folder):
    """Receive, unpack, dequantize, decode: everything before the search, once the frame is here."""
    sender, frames = wire
    symbols = normalize_power(complex_normal((rate.num_symbols,), np.random.default_rng(0)))
    message = pack(Frame(1, 2, 3, model_set.codec(codec).fingerprint(rate), rate, quantize(symbols)))
    noise = NoiseEstimator()

    def arrive():
        sender.send(message)
        time.sleep(0.002)  # time for the frame to be in the socket, so that the wait for it is not timed

    with KnowledgeBase.open(knowledge_base_folder) as kb:
        decoders = Decoders.of(model_set, kb, DecoderOptions(rates=[rate], backend=BACKEND))

        def receive():
            frame = unpack(frames.receive(timeout_s=5.0))
            decoder = decoders.decoder(frame.fingerprint)
            observation = decoder.equalize(dequantize(frame.codes), num_pilots=frame.num_pilots, noise=noise)
            return decoder.decode(observation)

        query = benchmark.pedantic(receive, setup=arrive, rounds=1_000, warmup_rounds=20)
    assert np.isfinite(query).all()


def test_end_to_end_one_process(benchmark, model_set, codec, rate, camera_picture, knowledge_base_folder, wire):
    """Image in memory to match in memory over loopback TCP, one image at a time."""
    sender, frames = wire
    model = load_transmitter_model(model_set, rate, OPTIONS, codec=codec)
    transmitter = Transmitter(model, rate, sender.send)
    with KnowledgeBase.open(knowledge_base_folder) as kb:
        receiver = Receiver(Decoders.of(model_set, kb, DecoderOptions(backend=BACKEND)), kb)

        def send_and_match():
            transmitter.run_once(camera_picture)
            return receiver.run_once(frames.receive(timeout_s=5.0))

        match = benchmark.pedantic(send_and_match, rounds=NUM_IMAGES, warmup_rounds=20)
    assert match is not None
    assert match.frame_id.sequence == NUM_IMAGES + 19


def test_end_to_end_two_processes(benchmark, tmp_path, knowledge_base_folder):
    """`semlink tx` at 30 images a second to `semlink rx`, 1,000 digits, latency as the receiver records it."""
    digits = open_dataset("digits").sent
    images = tmp_path / "images"
    images.mkdir()
    for index in range(NUM_IMAGES):
        Image.fromarray(digits.image(index % len(digits))).save(images / f"{index:04d}.png")
    results = tmp_path / "results"
    receive = ("rx", "--kb", str(knowledge_base_folder), "--listen", "tcp://127.0.0.1:*", "--results", str(results))
    how = ("--backend", BACKEND, "--device", DEVICE, "--num-threads", str(NUM_THREADS))

    def stream():
        with CommandProcess(*receive, "--backend", BACKEND, "--until-end", "--json") as rx:
            send = ("tx", str(images), "--connect", rx.endpoint(), "--fps", "30", "--json")
            with CommandProcess(*send, *how) as tx:
                return tx.summary(), rx.summary()

    tx, rx = benchmark.pedantic(stream, rounds=1)
    assert (rx["frames_received"], rx["frames_lost"]) == (NUM_IMAGES, 0)
    lines = (results / "results.jsonl").read_bytes().splitlines()
    latency_ms = [msgspec.json.decode(line)["latency_ms"] for line in lines]
    benchmark.extra_info["latency_ms"] = msgspec.to_builtins(summarize_latency(latency_ms))
    benchmark.extra_info["tx_stage_latency_ms"] = tx["stage_latency_ms"]
    benchmark.extra_info["rx_stage_latency_ms"] = rx["stage_latency_ms"]
    benchmark.extra_info["tx_peak_resident_mb"] = tx["peak_resident_mb"]
