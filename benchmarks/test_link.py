"""Both ends together: over a socket in one process, and as the processes that a user starts."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from benchmarks.conftest import NUM_THREADS
from edge_rx.decoder import CodecDecoder
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.pipeline import Receiver
from edge_tx.pipeline import Transmitter, load_transmitter_model
from engines.image_encoder import ImageEncoder
from semlink.timing import summarize_latency
from semlink.transport import FrameReceiver, FrameSender
from trainer.datasets import open_dataset
from trainer.demo.processes import CommandProcess

NUM_KB_ENTRIES = 5_000
NUM_IMAGES = 1_000


@pytest.fixture(scope="session")
def knowledge_base_folder(model_set, tmp_path_factory) -> Path:
    """A KB of 5,000 small pictures: real digits, each turned and scaled so that no two are alike."""
    digits = open_dataset("digits").knowledge_base
    rng = np.random.default_rng(0)
    pictures = []
    for index in range(NUM_KB_ENTRIES):
        source = index % len(digits)
        picture = Image.fromarray(digits.image(source)).rotate(float(rng.uniform(-20, 20)))
        pictures.append(LabelledImage(digits.labels[source], f"{index}.png", np.asarray(picture)))
    folder = tmp_path_factory.mktemp("benchmark") / "kb"
    build_knowledge_base(pictures, folder, ImageEncoder(model_set, num_threads=NUM_THREADS))
    return folder


@pytest.fixture
def wire():
    """A sender and a receiver, connected over TCP on loopback."""
    with FrameReceiver("tcp://127.0.0.1:*") as receiver, FrameSender(receiver.endpoint) as sender:
        sender.send(b"connects")
        assert receiver.receive(timeout_s=5.0) == b"connects"
        yield sender, receiver


def round_trip(sender: FrameSender, receiver: FrameReceiver, data: bytes) -> bytes | None:
    """One hop in truth: sent and received by one process, so both ends' costs are in it."""
    sender.send(data)
    return receiver.receive(timeout_s=5.0)


def test_transport_hot(benchmark, wire):
    data = bytes(200)
    assert benchmark(round_trip, *wire, data) == data


def test_transport_after_100_ms_idle(benchmark, wire):
    data = bytes(200)

    def idle():
        time.sleep(0.1)
        return (*wire, data), {}

    assert benchmark.pedantic(round_trip, setup=idle, rounds=100) == data


def test_end_to_end_one_process(benchmark, model_set, rate, camera_picture, knowledge_base_folder, wire):
    """Image in memory to match in memory over loopback TCP, one image at a time."""
    sender, frames = wire
    transmitter = Transmitter(load_transmitter_model(model_set, rate, num_threads=NUM_THREADS), sender.send)
    with KnowledgeBase.open(knowledge_base_folder) as kb:
        receiver = Receiver(CodecDecoder(model_set), kb)

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

    def stream():
        with CommandProcess(*receive, "--until-end", "--json") as rx:
            send = ("tx", str(images), "--connect", rx.endpoint(), "--fps", "30", "--json")
            with CommandProcess(*send, "--num-threads", str(NUM_THREADS)) as tx:
                return tx.summary(), rx.summary()

    tx, rx = benchmark.pedantic(stream, rounds=1)
    assert (rx["frames_received"], rx["frames_lost"]) == (NUM_IMAGES, 0)
    lines = (results / "results.jsonl").read_bytes().splitlines()
    latency_ms = [msgspec.json.decode(line)["latency_ms"] for line in lines]
    benchmark.extra_info["latency_ms"] = msgspec.to_builtins(summarize_latency(latency_ms))
    benchmark.extra_info["tx_stage_latency_ms"] = tx["stage_latency_ms"]
    benchmark.extra_info["rx_stage_latency_ms"] = rx["stage_latency_ms"]
    benchmark.extra_info["tx_peak_resident_mb"] = tx["peak_resident_mb"]
