"""The software channel, as an object and as a process between two sockets."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from semlink.channel import ChannelModel, complex_normal
from semlink.channel_process import SoftwareChannel
from semlink.frame import Flags, Frame, end_of_stream, pack, unpack
from semlink.iq import MAX_AMPLITUDE, CodesFormat, dequantize, normalize_power, quantize
from semlink.rates import parse_rate
from semlink.sequence import MAX_STREAMS
from semlink.transport import FrameReceiver, FrameSender
from tests.support.deadlines import DEADLINE_S
from tests.support.processes import RunningProcess, run_semlink, start_semlink

RATE = parse_rate("1024")
FINGERPRINT = bytes(range(16))


def message(sequence: int = 0, codes_format: CodesFormat = CodesFormat.SC8) -> bytes:
    symbols = normalize_power(complex_normal((RATE.num_symbols,), np.random.default_rng(sequence)))
    return pack(Frame(1, sequence, 2, FINGERPRINT, RATE, quantize(symbols, codes_format), codes_format))


def channel(sent: list[bytes], model: ChannelModel = ChannelModel.AWGN, seed: int = 0) -> SoftwareChannel:
    return SoftwareChannel(model, snr_db=0.0, rng=np.random.default_rng(seed), send=sent.append)


@pytest.mark.parametrize("codes_format", list(CodesFormat))
def test_only_the_payload_changes_and_the_frame_says_so(codes_format: CodesFormat) -> None:
    sent: list[bytes] = []
    data = message(codes_format=codes_format)
    process = channel(sent)
    process.run_once(data)
    assert not process.all_streams_ended
    before, after = unpack(data), unpack(sent[0])
    assert after.flags is Flags.CHANNEL_APPLIED
    for name in ("sent_crc", "stream_id", "sequence", "capture_time_ns", "fingerprint", "rate", "codes_format"):
        assert getattr(after, name) == getattr(before, name)
    noise = dequantize(after.codes, codes_format) - dequantize(before.codes, codes_format)
    # 1,024 complex samples of variance 1: three standard errors are 0.1.
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1.0, abs=0.1)


def test_clipping_is_counted() -> None:
    quiet, loud = (
        channel([]),
        SoftwareChannel(ChannelModel.AWGN, snr_db=-20.0, rng=np.random.default_rng(1), send=lambda data: None),
    )
    for process in (quiet, loud):
        process.run_once(message())
    assert quiet.clipping_rate == 0.0
    # Noise of 7.07 in each dimension leaves +-7.97 in 26 % of the cases.
    assert loud.clipping_rate == pytest.approx(0.26, abs=0.04)


def test_ideal_channel_changes_no_code() -> None:
    sent: list[bytes] = []
    channel(sent, ChannelModel.IDEAL).run_once(message())
    assert np.array_equal(unpack(sent[0]).codes, unpack(message()).codes)


def test_damage_is_dropped_here_since_a_new_checksum_would_vouch_for_it() -> None:
    sent: list[bytes] = []
    process = channel(sent)
    damaged = bytearray(message())
    damaged[-1] ^= 1
    for data in (bytes(damaged), b"", b"hello" * 100, message()[:50]):
        process.run_once(data)
    assert sent == []
    assert sum(process.rejected.values()) == 4
    assert process.rejected["truncated"] == 2


def test_the_largest_amplitude_of_a_peer_is_clipped_and_ends_nothing() -> None:
    sent: list[bytes] = []
    loudest = np.full((RATE.num_symbols, 2), MAX_AMPLITUDE, np.float32)
    process = channel(sent)
    process.run_once(pack(Frame(1, 0, 2, FINGERPRINT, RATE, loudest, CodesFormat.CF32)))
    received = unpack(sent[0]).codes
    assert np.abs(received).max() == MAX_AMPLITUDE
    assert 0.0 < process.clipping_rate <= 1.0


def test_reasons_to_drop_are_few_whatever_a_peer_sends(caplog: pytest.LogCaptureFixture) -> None:
    process = channel([])
    for length in range(60):
        process.run_once(bytes(length))
    assert dict(process.rejected) == {"truncated": 60}
    assert [record.levelname for record in caplog.records if record.levelname == "WARNING"] == ["WARNING"]


def test_invented_streams_do_not_fill_the_memory() -> None:
    sent: list[bytes] = []
    process = channel(sent, ChannelModel.IDEAL)
    frame = unpack(message())
    for stream_id in range(MAX_STREAMS + 10):
        process.run_once(pack(replace(frame, stream_id=stream_id)))
    for stream_id in range(10, MAX_STREAMS + 10):
        assert not process.all_streams_ended
        process.run_once(pack(end_of_stream(stream_id, 1, FINGERPRINT, RATE, 0)))
    assert process.all_streams_ended


def test_end_of_stream_passes_unchanged() -> None:
    sent: list[bytes] = []
    end = pack(end_of_stream(1, 7, FINGERPRINT, RATE, 0))
    process = channel(sent)
    assert not process.all_streams_ended
    process.run_once(message())
    process.run_once(end)
    assert process.all_streams_ended
    assert sent[1:] == [end]


def test_one_open_stream_keeps_the_channel_open() -> None:
    process = channel([])
    process.run_once(message())
    process.run_once(pack(end_of_stream(99, 0, FINGERPRINT, RATE, 0)))
    assert not process.all_streams_ended


@pytest.mark.parametrize("model", [ChannelModel.RAYLEIGH, ChannelModel.RICIAN])
def test_fading_without_pilots_is_warned_of_once_a_stream(
    model: ChannelModel, caplog: pytest.LogCaptureFixture
) -> None:
    process = channel([], model)
    for stream_id in (1, 2):
        caplog.clear()
        for sequence in (0, 1):
            process.run_once(pack(replace(unpack(message(sequence)), stream_id=stream_id)))
        assert sum("--pilots" in text for text in caplog.messages) == 1


@pytest.mark.process
def test_a_channel_does_not_send_to_itself() -> None:
    endpoint = "tcp://127.0.0.1:5599"
    done = run_semlink("channel", "--listen", endpoint, "--connect", endpoint)
    assert (done.returncode, done.stderr.strip().count("\n")) == (2, 0)
    assert "send to itself" in done.stderr


def test_two_channels_in_a_row_add_up() -> None:
    first: list[bytes] = []
    second: list[bytes] = []
    data = message(codes_format=CodesFormat.CF32)
    channel(first).run_once(data)
    channel(second, seed=1).run_once(first[0])
    noise = dequantize(unpack(second[0]).codes, CodesFormat.CF32) - dequantize(unpack(data).codes, CodesFormat.CF32)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(2.0, abs=0.2)
    assert unpack(second[0]).sent_crc == unpack(data).sent_crc


def start(*arguments: str) -> RunningProcess:
    return start_semlink("channel", "--listen", "tcp://127.0.0.1:*", *arguments)


def endpoint_of(process: RunningProcess) -> str:
    return process.read_endpoints()[0]


@pytest.mark.process
def test_process_forwards_a_stream_and_sums_up() -> None:
    with FrameReceiver("tcp://127.0.0.1:*") as receiver:
        connect = ("--connect", receiver.endpoint, "--snr-db", "20", "--until-end", "--json")
        with start(*connect) as process:
            with FrameSender(endpoint_of(process)) as sender:
                for sequence in range(5):
                    sender.send(message(sequence))
                sender.send(b"foreign" * 20)
                sender.send(pack(end_of_stream(1, 5, FINGERPRINT, RATE, 0)))
                received = [receiver.receive(DEADLINE_S) for _ in range(6)]
            done = process.finish()
    assert done.returncode == 0, done.stderr
    assert [unpack(data).sequence for data in received if data] == [0, 1, 2, 3, 4, 5]
    summary = json.loads(done.stdout)
    assert summary["frames_forwarded"] == 5
    assert summary["frames_rejected"] == {"foreign bytes": 1}


@pytest.mark.process
def test_ctrl_c_ends_with_a_summary() -> None:
    with start("--connect", "tcp://127.0.0.1:9", "--json") as process:
        endpoint_of(process)
        done = process.interrupt()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames_forwarded"] == 0


@pytest.mark.process
def test_ctrl_c_ends_a_send_to_a_receiver_that_is_away() -> None:
    with start("--connect", "tcp://127.0.0.1:9", "--json") as process, FrameSender(endpoint_of(process)) as sender:
        for sequence in range(3):
            sender.send(message(sequence))
        process.until_blocked()
        assert "Traceback" not in process.interrupt().stderr


@pytest.mark.process
def test_port_in_use_is_named() -> None:
    with FrameReceiver("tcp://127.0.0.1:*") as receiver, start("--listen", receiver.endpoint) as process:
        done = process.finish()
    assert done.returncode == 7
    assert "another process has this port" in " ".join(done.stderr.split())
