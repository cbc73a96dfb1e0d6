"""Both ends together: over a socket in one process, and as the processes that a user starts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import NUM_THREADS, OPTIONS
from benchmarks.graphs import BACKEND, DEVICE, SentCodec, codec_graphs, unit_features
from benchmarks.rows import latency_fields
from edge_rx.decoders.base import Query
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.match import Match
from edge_rx.noise import NoiseEstimator
from edge_rx.pipeline import Receiver
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.model_set import ModelSet
from semlink.channel import complex_normal
from semlink.frame import Frame, pack, unpack
from semlink.image import LoadedImage
from semlink.iq import dequantize, normalize_power, quantize
from semlink.rates import Rate
from semlink.timing import LatencySummary, summarize_latency
from semlink.transport import FrameReceiver, FrameSender
from trainer.datasets import open_dataset
from trainer.demo.processes import CommandProcess

NUM_IMAGES = 1_000

Wire: TypeAlias = tuple[FrameSender, FrameReceiver]


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A sender and a receiver, connected over TCP on loopback."""
    with FrameReceiver("tcp://127.0.0.1:*") as receiver, FrameSender(receiver.endpoint) as sender:
        sender.send(b"connects")
        assert receiver.receive(timeout_s=5.0) == b"connects"
        yield sender, receiver


@pytest.fixture
def echo_wire(wire: Wire) -> Iterator[Wire]:
    """The same, over a second process that sends back what it receives."""
    _, receiver = wire
    with subprocess.Popen([sys.executable, "-c", _ECHO, receiver.endpoint]) as echo:
        try:
            endpoint = receiver.receive(timeout_s=30.0)
            assert endpoint is not None, f"the echoing process sent no endpoint: {echo.poll()}"
            with FrameSender(endpoint.decode()) as sender:
                yield sender, receiver
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


def arrival(receiver: FrameReceiver) -> bytes:
    """Wait for the next frame."""
    data = receiver.receive(timeout_s=5.0)
    assert data is not None, "no frame within 5 s"
    return data


def hop(sender: FrameSender, receiver: FrameReceiver, data: bytes) -> bytes:
    """Send, and wait for the arrival."""
    sender.send(data)
    return arrival(receiver)


def after_idle(wire: Wire, data: bytes) -> Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]:
    """Set-up of a round that leaves the link idle for 100 ms, which are not timed."""

    def idle() -> tuple[tuple[Any, ...], dict[str, Any]]:
        time.sleep(0.1)
        return (*wire, data), {}

    return idle


def test_transport_one_hop_hot(benchmark: BenchmarkFixture, wire: Wire) -> None:
    assert benchmark(hop, *wire, bytes(200)) == bytes(200)


def test_transport_one_hop_after_100_ms_idle(benchmark: BenchmarkFixture, wire: Wire) -> None:
    assert benchmark.pedantic(hop, setup=after_idle(wire, bytes(200)), rounds=100) == bytes(200)


def test_transport_round_trip_hot(benchmark: BenchmarkFixture, echo_wire: Wire) -> None:
    """To another process and back."""
    assert benchmark(hop, *echo_wire, bytes(200)) == bytes(200)


def test_transport_round_trip_after_100_ms_idle(benchmark: BenchmarkFixture, echo_wire: Wire) -> None:
    assert benchmark.pedantic(hop, setup=after_idle(echo_wire, bytes(200)), rounds=100) == bytes(200)


def test_transmitter_overhead_besides_the_encoder(
    benchmark: BenchmarkFixture, sent_codec: SentCodec, rate: Rate, wire: Wire
) -> None:
    """Codec, unit power, quantize, pack, send: everything after the features."""
    sender, frames = wire
    to_codes, fingerprint = codec_graphs(sent_codec, rate), sent_codec.fingerprint(rate)
    features = unit_features()

    def send() -> None:
        sender.send(pack(Frame(1, 2, 3, fingerprint, rate, to_codes(features))))

    benchmark.pedantic(send, teardown=lambda: frames.receive(timeout_s=5.0), rounds=1_000, warmup_rounds=20)
    sender.send(pack(Frame(1, 9, 3, fingerprint, rate, to_codes(features))))
    assert unpack(arrival(frames)).sequence == 9


def test_receiver_overhead_besides_the_search(
    benchmark: BenchmarkFixture, model_set: ModelSet, codec: str, rate: Rate, wire: Wire, knowledge_base_folder: Path
) -> None:
    """Receive, unpack, dequantize, decode: everything before the search, for a frame that has arrived."""
    sender, frames = wire
    symbols = normalize_power(complex_normal((rate.num_symbols,), np.random.default_rng(0)))
    message = pack(Frame(1, 2, 3, model_set.codec(codec).fingerprint(rate), rate, quantize(symbols)))
    noise = NoiseEstimator()

    def arrive() -> None:
        sender.send(message)
        time.sleep(0.002)  # time for the frame to be in the socket, so that the wait for it is not timed

    with KnowledgeBase.open(knowledge_base_folder) as kb:
        decoders = Decoders.of(model_set, kb, DecoderOptions(rates=[rate], backend=BACKEND))

        def receive() -> Query:
            frame = unpack(arrival(frames))
            decoder = decoders.decoder(frame.fingerprint)
            observation = decoder.equalize(dequantize(frame.codes), num_pilots=frame.num_pilots, noise=noise)
            return decoder.decode(observation)

        query = benchmark.pedantic(receive, setup=arrive, rounds=1_000, warmup_rounds=20)
    assert np.isfinite(query).all()


def test_end_to_end_one_process(
    benchmark: BenchmarkFixture,
    model_set: ModelSet,
    codec: str,
    rate: Rate,
    camera_image: LoadedImage,
    knowledge_base_folder: Path,
    wire: Wire,
) -> None:
    """Image in memory to match in memory over loopback TCP, one image at a time."""
    sender, frames = wire
    model = load_transmitter_model(model_set, rate, OPTIONS, codec=codec)
    transmitter = Transmitter(model, rate, sender.send)
    with KnowledgeBase.open(knowledge_base_folder) as kb:
        receiver = Receiver(Decoders.of(model_set, kb, DecoderOptions(backend=BACKEND)), kb)

        def send_and_match() -> Match | None:
            transmitter.run_once(camera_image)
            return receiver.run_once(arrival(frames))

        match = benchmark.pedantic(send_and_match, rounds=NUM_IMAGES, warmup_rounds=20)
    assert match is not None
    assert match.frame_id.sequence == NUM_IMAGES + 19


def test_end_to_end_two_processes(benchmark: BenchmarkFixture, tmp_path: Path, knowledge_base_folder: Path) -> None:
    """`semlink tx` at 30 images a second to `semlink rx`, 1,000 digits, latency as the receiver records it."""
    digits = open_dataset("digits").sent
    images = tmp_path / "images"
    images.mkdir()
    for index in range(NUM_IMAGES):
        Image.fromarray(digits.image(index % len(digits))).save(images / f"{index:04d}.png")
    results = tmp_path / "results"
    receive = ("rx", "--kb", str(knowledge_base_folder), "--listen", "tcp://127.0.0.1:*", "--results", str(results))
    how = ("--backend", BACKEND, "--device", DEVICE, "--threads", str(NUM_THREADS))

    def stream() -> tuple[dict[str, Any], dict[str, Any]]:
        with CommandProcess(*receive, "--backend", BACKEND, "--until-end", "--json") as rx:
            send = ("tx", str(images), "--connect", rx.endpoint(), "--fps", "30", "--json")
            with CommandProcess(*send, *how) as tx:
                return tx.summary(), rx.summary()

    tx, rx = benchmark.pedantic(stream, rounds=1)
    assert (rx["frames_received"], rx["frames_lost"]) == (NUM_IMAGES, 0)
    lines = (results / "results.jsonl").read_bytes().splitlines()
    latency_ms = [msgspec.json.decode(line)["latency_ms"] for line in lines]
    stages = {f"tx {name}": summary for name, summary in tx["stage_latency_ms"].items()}
    stages |= {f"rx {name}": summary for name, summary in rx["stage_latency_ms"].items()}
    benchmark.extra_info.update(latency_fields(summarize_latency(latency_ms)))
    benchmark.extra_info["parts"] = {
        name: latency_fields(msgspec.convert(summary, LatencySummary)) for name, summary in stages.items()
    }
    benchmark.extra_info["memory_mb"] = {"transmitter, peak resident": tx["peak_resident_mb"]}
