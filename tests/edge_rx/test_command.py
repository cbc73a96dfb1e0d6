"""`semlink rx` and `semlink kb` as a user runs them: real processes, real sockets, random ports."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import faiss
import pytest
from rich.console import Console
from typer.testing import CliRunner

from edge_rx.command import app
from edge_rx.decoders.options import DecoderOptions
from edge_rx.kb import KnowledgeBase
from edge_rx.results import read_results
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError, ResultsError, TransportError
from semlink.frame import MAX_FRAME_BYTES, pack
from semlink.image import RGBImage
from semlink.transport import FrameReceiver, FrameSender, SocketLimits
from tests.support.deadlines import DEADLINE_S
from tests.support.frames import FrameMaker

pytestmark = pytest.mark.process

FRONT_DOOR = [sys.executable, "-m", "semlink"]
"""Not the console script, which may be another interpreter's."""


@dataclass
class RunningReceiver:
    process: subprocess.Popen[str]
    endpoint: str

    def end(self) -> dict[str, object]:
        """Wait for an ordinary end; give the summary."""
        output, errors = self.process.communicate(timeout=DEADLINE_S)
        assert self.process.returncode == 0, errors
        summary: dict[str, object] = json.loads(output)
        return summary


@contextmanager
def running_receiver(*arguments: str | Path) -> Iterator[RunningReceiver]:
    command = [*FRONT_DOOR, "rx", "--listen", "tcp://127.0.0.1:*", "--json", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            ready = process.stderr.readline()
            found = re.search(r" INFO listening on (tcp://\S+:\d+) with 12 entries; Ctrl-C to stop\n$", ready)
            if found is None:
                process.kill()
                pytest.fail(ready + process.stderr.read())
            yield RunningReceiver(process, found[1])
        finally:
            process.kill()


def semlink(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FRONT_DOOR, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.fixture
def arguments(built_kb: Path, model_set: ModelSet, tmp_path: Path) -> list[str]:
    return ["--kb", str(built_kb), "--model-set", str(model_set.folder), "--results", str(tmp_path / "results")]


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
def test_a_signal_ends_it_within_two_seconds_with_a_summary(
    arguments: list[str], maker: FrameMaker, pictures: dict[str, RGBImage], tmp_path: Path, number: signal.Signals
) -> None:
    with running_receiver(*arguments) as rx:
        send(rx.endpoint, pack(maker.frame(pictures["cat/1.png"], 0)))
        deadline_s = time.monotonic() + DEADLINE_S
        while not (tmp_path / "results/results.jsonl").stat().st_size:
            assert time.monotonic() < deadline_s
        asked_s = time.monotonic()
        rx.process.send_signal(number)
        summary = rx.end()
        assert time.monotonic() - asked_s < DEADLINE_S
    assert summary["frames_received"] == 1


def test_ctrl_c_while_it_loads_ends_it_at_once(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_on = []

    def load(*_: object, **__: object) -> NoReturn:
        signal.raise_signal(signal.SIGINT)
        went_on.append(True)
        raise EngineError("was loaded to the end")

    monkeypatch.setattr("edge_rx.session.Decoders.of", load)
    done = CliRunner().invoke(app, ["--listen", "tcp://127.0.0.1:*", *arguments])
    assert (done.exit_code, went_on) == (130, [])
    assert not (tmp_path / "results").exists()


def test_engines_are_kept_where_it_is_told(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(models: ModelSet, knowledge_base: KnowledgeBase, options: DecoderOptions) -> NoReturn:
        raise EngineError(f"kept in {options.engines}")

    monkeypatch.setattr("edge_rx.session.Decoders.of", load)
    done = CliRunner().invoke(app, [*arguments, "--engines", str(tmp_path / "kept")])
    assert str(done.exception) == f"kept in {tmp_path / 'kept'}"


@pytest.mark.parametrize(("kind", "expected"), [("ivf", ["start", "load", "end"]), ("flat", ["load"])])
def test_who_waits_for_lists_is_told(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, expected: list[str]
) -> None:
    observation: list[str] = []

    @contextmanager
    def status(_: Console, told: str) -> Iterator[None]:
        assert "sorting 12 entries into lists" in told
        observation.append("start")
        try:
            yield
        finally:
            observation.append("end")

    def load(*_: object, **__: object) -> NoReturn:
        observation.append("load")
        raise EngineError("enough")

    monkeypatch.setattr(Console, "status", status)
    monkeypatch.setattr("edge_rx.session.Decoders.of", load)
    CliRunner().invoke(app, [*arguments, "--search-index", kind])
    assert observation == expected


def test_a_gpu_that_cannot_be_used(arguments: list[str]) -> None:
    """`gpu` is an error that says what would fix it, `auto` takes the CPU and says why."""
    options = ["rx", "--listen", "tcp://127.0.0.1:*", "--idle-timeout-s", "0.2", *arguments, "--device"]
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this faiss is built for GPUs")
    done = semlink(*options, "gpu")
    assert done.returncode == EngineError.exit_code
    assert "this faiss is built for the CPU; pip uninstall faiss-cpu" in " ".join(done.stderr.split())
    done = semlink("-v", *options, "auto")
    assert done.returncode == 0, done.stderr
    assert "search device auto: chose cpu, fp32" in " ".join(done.stderr.split())
    assert semlink(*options, "cpu", "--search-precision", "fp16").returncode == ConfigError.exit_code


def test_the_summary_for_people(arguments: list[str]) -> None:
    done = semlink("rx", "--listen", "tcp://127.0.0.1:*", "--idle-timeout-s", "0.2", *arguments)
    assert done.returncode == 0
    assert "frames received" in done.stderr
    assert done.stdout == ""


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


def test_a_port_in_use(arguments: list[str]) -> None:
    with FrameReceiver("tcp://127.0.0.1:*") as other:
        done = semlink("rx", "--listen", other.endpoint, *arguments)
    assert done.returncode == TransportError.exit_code
    assert done.stderr.startswith(f"error: cannot bind {other.endpoint}: ")
    assert done.stderr.count("\n") == 1


def test_a_receiver_that_starts_after_the_transmitter(
    arguments: list[str], maker: FrameMaker, pictures: dict[str, RGBImage]
) -> None:
    with FrameReceiver("tcp://127.0.0.1:*") as probe:
        endpoint = probe.endpoint
    data = [pack(maker.frame(pictures["cat/1.png"], 0)), pack(maker.end(1))]
    sender = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from semlink.transport import FrameSender\n"
            "with FrameSender(sys.argv[1]) as sender:\n"
            "    print('waiting', flush=True)\n"
            "    [sender.send(bytes.fromhex(data)) for data in sys.argv[2:]]",
            endpoint,
            *(frame.hex() for frame in data),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with sender:
        assert sender.stdout is not None
        assert sender.stdout.readline() == "waiting\n"
        done = semlink("rx", "--listen", endpoint, "--until-end", "--json", *arguments)
        assert sender.wait(DEADLINE_S) == 0
    assert json.loads(done.stdout)["matches"] == 1


@pytest.mark.parametrize(
    ("extra", "exit_code", "message"),
    [
        (["--kb", "/nowhere"], KnowledgeBaseError.exit_code, "not a knowledge base"),
        (["--limit", "0"], ConfigError.exit_code, "limit must be at least 1"),
        (["--listen", "udp://x"], ConfigError.exit_code, "endpoint must start with tcp:// or ipc://"),
        (["--num-threads", "0"], ConfigError.exit_code, "num-threads"),
        (["--min-score", "7"], ConfigError.exit_code, "min-score"),
        (["--listen", "ipc:///tmp/x", "--feedback", "ipc:///tmp/x"], ConfigError.exit_code, "a port of their own"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(
    arguments: list[str], extra: list[str], exit_code: int, message: str
) -> None:
    done = semlink("rx", *arguments, *extra)
    assert done.returncode == exit_code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_kb_of_another_encoder(arguments: list[str], other_model_set: ModelSet) -> None:
    done = semlink("rx", *arguments, "--model-set", other_model_set.folder)
    assert done.returncode == KnowledgeBaseError.exit_code
    assert "built with encoder synthetic-encoder-0" in done.stderr
    assert "other-encoder-1" in done.stderr


def test_kb_build_info_verify_search(picture_folder: Path, model_set: ModelSet, tmp_path: Path) -> None:
    kb, models = tmp_path / "KB", ["--model-set", str(model_set.folder)]

    built = semlink("kb", "build", picture_folder, "--out", kb, "--json", *models)
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout) == {"num_entries": 12, "skipped": []}

    again = semlink("kb", "build", picture_folder, "--out", kb, *models)
    assert again.returncode == KnowledgeBaseError.exit_code
    assert "--force" in again.stderr
    assert semlink("kb", "build", picture_folder, "--out", kb, "--force", *models).returncode == 0

    info = json.loads(semlink("kb", "info", kb, "--json").stdout)
    assert (info["num_entries"], info["labels"]) == (12, {"apple": 4, "boat": 4, "cat": 4})

    found = json.loads(
        semlink("kb", "search", kb, picture_folder / "boat/3.png", "--top", "2", "--json", *models).stdout
    )
    assert found["matches"][0]["record"]["source"] == "boat/3.png"
    assert len(found["matches"]) == 2

    assert semlink("kb", "verify", kb).returncode == 0
    next((kb / "images").rglob("*.png")).unlink()
    damaged = semlink("kb", "verify", kb, "--json")
    assert damaged.returncode == KnowledgeBaseError.exit_code
    assert len(json.loads(damaged.stdout)["problems"]) == 1


@pytest.mark.parametrize(
    "command", [["rx"], ["kb"], ["kb", "build"], ["kb", "info"], ["kb", "verify"], ["kb", "search"]]
)
def test_help_shows_how(command: list[str]) -> None:
    done = semlink(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_importing_the_receiver_loads_nothing_heavy() -> None:
    code = "import sys, edge_rx.command, edge_rx.kb.command; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert not {"faiss", "onnxruntime", "onnx", "torch"} & set(done.stdout.split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_that_says_what_is_safe(
    arguments: list[str], maker: FrameMaker, pictures: dict[str, RGBImage], tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/results.jsonl").symlink_to("/dev/full")
    with running_receiver(*arguments) as rx:
        send(rx.endpoint, pack(maker.frame(pictures["cat/1.png"], 0)))
        _, errors = rx.process.communicate(timeout=DEADLINE_S)
    assert rx.process.returncode == ResultsError.exit_code
    assert "No space left on device; the 0 results written before it are safe" in errors
    assert "Traceback" not in errors
