"""`semlink rx` as a process that receives streams over a socket, to their end, a signal or an error."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_rx.results import read_results
from semlink.errors import ResultsError
from semlink.frame import MAX_FRAME_BYTES, pack
from semlink.image import RGBImage
from semlink.transport import FrameSender, SocketLimits
from tests.support.deadlines import DEADLINE_S
from tests.support.frames import FrameMaker
from tests.support.processes import Finished, RunningProcess, run_semlink, start_python, start_semlink
from tests.support.sockets import free_port

pytestmark = pytest.mark.process


@dataclass
class RunningReceiver:
    process: RunningProcess
    endpoint: str

    def end(self) -> dict[str, object]:
        """Wait for an ordinary end; give the summary."""
        return summary_of(self.process.finish())


def summary_of(done: Finished) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    summary: dict[str, object] = json.loads(done.stdout)
    return summary


@contextmanager
def running_receiver(*arguments: str | Path) -> Iterator[RunningReceiver]:
    with start_semlink("rx", "--listen", "tcp://127.0.0.1:*", "--json", *arguments) as process:
        ready = process.read_message()
        found = re.search(r" INFO listening on (tcp://\S+:\d+) with 12 entries; Ctrl-C to stop\n$", ready)
        assert found is not None, ready
        yield RunningReceiver(process, found[1])


def send(endpoint: str, *messages: bytes) -> None:
    with FrameSender(endpoint, limits=SocketLimits(peer_timeout_s=DEADLINE_S)) as sender:
        for message in messages:
            sender.send(message)


def test_a_stream_is_received_to_its_end(
    arguments: list[str], maker: FrameMaker, pictures: dict[str, RGBImage], tmp_path: Path
) -> None:
    frames = [pack(maker.frame(picture, sequence)) for sequence, picture in enumerate(pictures.values())]
    del frames[5]
    messages = [*frames[:4], frames[2], b"noise", b"\0" * (MAX_FRAME_BYTES + 1), frames[4][:-1], *frames[5:]]
    with running_receiver(*arguments, "--until-end") as rx:
        send(rx.endpoint, *messages, pack(maker.end(12)))
        summary = rx.end()

    assert summary["frames_received"] == summary["matches"] == summary["matches_accepted"] == 10
    assert (summary["frames_lost"], summary["frames_duplicated"], summary["frames_reordered"]) == (2, 1, 0)
    assert summary["frames_rejected"] == {"truncated": 2, "oversized": 1}
    assert summary["streams"] == {
        f"{maker.stream_id:016x}": {
            "received": 10, "lost": 2, "before_start": 0, "duplicated": 1, "reordered": 0, "sent": 12,
        }
    }  # fmt: skip
    assert (summary["num_streams"], summary["frames_before_start"]) == (1, 0)
    assert summary["kb_entries"] == 12
    latency = summary["latency_ms"]
    assert isinstance(latency, dict)
    assert latency["num_samples"] == 10
    assert set(latency) >= {"p50", "p95", "p99", "p999"}
    stages = summary["stage_latency_ms"]
    assert isinstance(stages, dict)
    assert set(stages) == {"unpack", "dequantize", "decode", "search", "receive_to_match", "store"}
    names = list(pictures)
    results = read_results(tmp_path / "results")
    assert [result.source for result in results] == [names[result.sequence] for result in results]
    assert Path(str(summary["results_jsonl"])).is_file()
    assert Path(str(summary["results_sqlite"])).is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary(
    arguments: list[str], maker: FrameMaker, pictures: dict[str, RGBImage], tmp_path: Path, number: signal.Signals
) -> None:
    with running_receiver(*arguments) as rx:
        send(rx.endpoint, pack(maker.frame(pictures["cat/1.png"], 0)))
        rx.process.until(lambda: (tmp_path / "results/results.jsonl").stat().st_size)
        rx.process.send_signal(number)
        summary = rx.end()
    assert summary["frames_received"] == 1


def test_count_stops_it(arguments: list[str], maker: FrameMaker, pictures: dict[str, RGBImage]) -> None:
    with running_receiver(*arguments, "--limit", "1") as rx:
        send(rx.endpoint, pack(maker.frame(pictures["cat/1.png"], 0)))
        assert rx.end()["matches"] == 1


def test_options_from_a_file(arguments: list[str], tmp_path: Path) -> None:
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    config = tmp_path / "rx.toml"
    lines = [f'{name.removeprefix("--")} = "{value}"' for name, value in options.items()]
    config.write_text("\n".join([*lines, "idle-timeout-s = 0.2"]))
    with running_receiver("--config", config) as rx:
        assert rx.end()["frames_received"] == 0


SENDER = """
import sys
from semlink.transport import FrameSender
with FrameSender(sys.argv[1]) as sender:
    print("waiting", flush=True)
    for data in sys.argv[2:]:
        sender.send(bytes.fromhex(data))
"""


def test_a_receiver_that_starts_after_the_transmitter(
    arguments: list[str], maker: FrameMaker, pictures: dict[str, RGBImage]
) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    data = [pack(maker.frame(pictures["cat/1.png"], 0)), pack(maker.end(1))]
    with start_python("-c", SENDER, endpoint, *(frame.hex() for frame in data)) as sender:
        assert sender.stdout is not None
        assert sender.stdout.readline() == "waiting\n"
        done = run_semlink("rx", "--listen", endpoint, "--until-end", "--json", *arguments)
        assert sender.finish().returncode == 0
    assert summary_of(done)["matches"] == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_that_says_what_is_safe(
    arguments: list[str], maker: FrameMaker, pictures: dict[str, RGBImage], tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/results.jsonl").symlink_to("/dev/full")
    with running_receiver(*arguments) as rx:
        send(rx.endpoint, pack(maker.frame(pictures["cat/1.png"], 0)))
        done = rx.process.finish()
    assert done.returncode == ResultsError.exit_code
    assert "No space left on device; the 0 results written before it are safe" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("min_confidence", "num_accepted"), [("0.5", 12), ("1", 0)])
def test_matches_below_the_least_confidence_are_marked(
    arguments: list[str],
    maker: FrameMaker,
    pictures: dict[str, RGBImage],
    tmp_path: Path,
    min_confidence: str,
    num_accepted: int,
) -> None:
    frames = [pack(maker.frame(picture, sequence)) for sequence, picture in enumerate(pictures.values())]
    with running_receiver(*arguments, "--until-end", "--min-confidence", min_confidence) as rx:
        send(rx.endpoint, *frames, pack(maker.end(12)))
        summary = rx.end()
    assert (summary["matches"], summary["matches_accepted"]) == (12, num_accepted)
    results = read_results(tmp_path / "results")
    assert [result.accepted for result in results] == [num_accepted == 12] * 12
    assert all(result.confidence is not None and 0.5 < result.confidence < 1.0 for result in results)
