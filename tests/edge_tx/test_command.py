"""`semlink tx` as a process, with a real socket at the other end."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import NoReturn

import msgspec
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from edge_tx.command import app
from engines.backends.runner import BuildProgress
from engines.backends.target import DEFAULT_TARGET
from engines.encoder_precision import default_store, encoder_key
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.cli.app import EXIT_INTERRUPTED
from semlink.errors import EngineError, ModelSetError
from semlink.frame import unpack
from semlink.iq import CodesFormat
from semlink.rates import parse_rate
from semlink.transport import FrameReceiver
from tests.support.codebooks import small_codebook
from tests.support.deadlines import DEADLINE_S
from tests.support.model_sets import make_model_set
from tests.support.precisions import Precisions, built_precisions
from tests.support.processes import RunningProcess, start_semlink
from tests.support.sockets import free_port

pytestmark = pytest.mark.process


def start(*arguments: object) -> RunningProcess:
    return start_semlink("tx", *arguments)


def receive_stream(receiver: FrameReceiver) -> list[bytes]:
    received: list[bytes] = []
    while not received or not unpack(received[-1]).is_end_of_stream:
        data = receiver.receive(DEADLINE_S)
        assert data is not None, f"no end of stream; {len(received)} frames came"
        received.append(data)
    return received


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of every awkward kind: they are all sent."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    rgb.convert("L").save(folder / "grey.png")
    rgb.convert("P").save(folder / "palette.png")
    rgb.convert("RGBA").save(folder / "alpha.png")
    exif = rgb.getexif()
    exif[274] = 6
    rgb.save(folder / "rotated.jpg", exif=exif)
    rgb.resize((1, 1)).save(folder / "tiny.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return folder


def test_ctrl_c_while_it_loads_ends_it_there(
    model_set: ModelSet, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, on_progress: BuildProgress, **__: object) -> NoReturn:
        signal.raise_signal(signal.SIGINT)
        on_progress("Building", 0.5)
        raise EngineError("was built to the end")

    monkeypatch.setattr("edge_tx.loading.load_transmitter_model", load)
    done = CliRunner().invoke(app, [str(photos), "--model-set", str(model_set.folder), "--rate", "16"])
    assert done.exit_code == EXIT_INTERRUPTED


@pytest.mark.parametrize(
    ("precision", "latency_ms", "announced"),
    [
        ((), 5.0, "image encoder in int8 (verified on this processor: 5.00 ms an image, fp32 10.00 ms)"),
        ((), 13.8, "image encoder in fp32 (int8 is no gain on this processor: 13.80 ms an image, fp32 10.00 ms)"),
        (("--precision", "fp16"), 5.0, "image encoder in fp16"),
    ],
)
def test_auto_takes_the_best_precision_that_was_built_and_says_why(
    precisions: Precisions, photos: Path, precision: tuple[str, ...], latency_ms: float, announced: str
) -> None:
    models = precisions.models
    store, key = default_store(models, precisions.engines), encoder_key(models, Precision.INT8, DEFAULT_TARGET)
    found = store.verification(key)
    assert found is not None
    store.record(key, msgspec.structs.replace(found, latency_ms=latency_ms, fp32_latency_ms=10.0))
    with FrameReceiver("tcp://127.0.0.1:*") as receiver:
        options = ("--connect", receiver.endpoint, "--rate", "64", "--device", "cpu", "--limit", "1", *precision)
        where = ("--model-set", str(models.folder), "--engines", str(precisions.engines))
        done = CliRunner().invoke(app, [str(photos), *options, *where])
    assert done.exit_code == 0, done.exception
    assert announced in done.stderr


@pytest.mark.parametrize("codes_format", ["sc8", "sc16"])
def test_codebook_of_a_knowledge_base(model_set: ModelSet, photos: Path, tmp_path: Path, codes_format: str) -> None:
    path, codebook = tmp_path / "codebook.npz", small_codebook(model_set.encoder_fingerprint)
    path.write_bytes(codebook.content)
    with FrameReceiver("tcp://127.0.0.1:*") as receiver:
        link = ("--connect", receiver.endpoint, "--rate", "32", "--constellation", "qpsk", "--pilots", "4")
        models = ("--model-set", str(model_set.folder), "--codebook", str(path), "--codes-format", codes_format)
        done = CliRunner().invoke(app, [str(photos), *link, *models, "--json"])
        *frames, _ = [unpack(data) for data in receive_stream(receiver)]
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["sent_by_codec"] == {"adapted": 5}
    assert "sending 32 symbols an image with adapted to" in " ".join(done.stderr.split())
    assert {frame.fingerprint for frame in frames} == {codebook.fingerprint(parse_rate("32"))}
    assert {frame.codes_format for frame in frames} == {CodesFormat.parse(codes_format)}


def test_a_codebook_that_is_not_there_is_one_line(model_set: ModelSet, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.npz"
    done = CliRunner().invoke(app, [str(photos), "--model-set", str(model_set.folder), "--codebook", str(path)])
    assert isinstance(done.exception, ModelSetError)
    assert str(done.exception) == (
        f"{path}: No such file or directory; export it from the knowledge base:"
        " semlink kb export-codebook KB --out FILE"
    )


@pytest.fixture(scope="module")
def precisions(tmp_path_factory: pytest.TempPathFactory) -> Precisions:
    folder = tmp_path_factory.mktemp("precisions")
    models = make_model_set(folder / "models", rates=(64,), size_px=28, convolutional=True)
    return built_precisions(models, folder / "engines")


def test_folder_is_streamed_and_summed_up(model_set: ModelSet, photos: Path, tmp_path: Path) -> None:
    log = tmp_path / "sent.jsonl"
    with (
        FrameReceiver("tcp://127.0.0.1:*") as receiver,
        start(
            *(photos, "--connect", receiver.endpoint, "--model-set", model_set.folder),
            *("--rate", 16, "--log", log, "--json"),
        ) as process,
    ):
        frames = [unpack(data) for data in receive_stream(receiver)]
        done = process.finish()
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["images_sent"] == 5
    assert list(summary["sent_by_num_symbols"].values()) == [5]
    assert summary["images_skipped"] == 1
    assert "broken.jpg" in summary["skipped"][0]
    assert [frame.sequence for frame in frames] == list(range(6))
    assert f"wrote {log}\n" in done.stderr
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["frame"] for line in lines] == [str(frame.frame_id) for frame in frames[:-1]]
    rotated = next(frame for frame, line in zip(frames, lines, strict=False) if "rotated" in line["name"])
    assert (rotated.source_height_px, rotated.source_width_px) == (40, 30)


def test_transmitter_waits_for_a_receiver_that_starts_later(model_set: ModelSet, photos: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with start(photos, "--connect", endpoint, "--model-set", model_set.folder, "--rate", 16, "--json") as process:
        process.read_message("sending")
        with FrameReceiver(endpoint) as receiver:
            assert len(receive_stream(receiver)) == 6
        assert process.finish().returncode == 0


def test_nobody_there_is_an_error_that_says_so(model_set: ModelSet, photos: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    patience = ("--peer-timeout-s", 0.3)
    with start(photos, "--connect", endpoint, "--model-set", model_set.folder, "--rate", 16, *patience) as process:
        done = process.finish()
    assert done.returncode == 7
    assert "start the receiver" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_receiver_that_goes_away_is_an_error_after_a_summary(model_set: ModelSet, photos: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.txt"
    many.write_text(f"{photos / 'grey.png'}\n" * 1000)
    patience = ("--peer-timeout-s", 1.0, "--fps", 50, "--json")
    with FrameReceiver("tcp://127.0.0.1:*") as receiver:
        process = start(many, "--connect", receiver.endpoint, "--model-set", model_set.folder, "--rate", 16, *patience)
        assert receiver.receive(timeout_s=DEADLINE_S) is not None
    with process:
        done = process.finish()
    assert done.returncode == 7, done.stderr
    assert 1 <= json.loads(done.stdout)["images_sent"] < 1000


def test_ctrl_c_ends_a_watch_with_a_summary(model_set: ModelSet, tmp_path: Path) -> None:
    with FrameReceiver("tcp://127.0.0.1:*") as receiver:
        watch = ("--watch", "--connect", receiver.endpoint, "--model-set", model_set.folder, "--rate", 16, "--json")
        with start(tmp_path, *watch) as process:
            process.read_message("sending")
            done = process.interrupt()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["interrupted"]


def test_ctrl_c_ends_a_stream_with_a_summary(model_set: ModelSet, photos: Path) -> None:
    with FrameReceiver("tcp://127.0.0.1:*") as receiver:
        slow = ("--fps", 0.5, "--json")
        with start(
            photos, "--connect", receiver.endpoint, "--model-set", model_set.folder, "--rate", 16, *slow
        ) as process:
            assert receiver.receive(timeout_s=DEADLINE_S) is not None
            done = process.interrupt()
    assert done.returncode == 130, done.stderr
    summary = json.loads(done.stdout)
    assert summary["interrupted"]
    assert summary["images_sent"] >= 1


def test_ctrl_c_ends_the_wait_for_a_receiver(model_set: ModelSet, photos: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with start(photos, "--connect", endpoint, "--model-set", model_set.folder, "--rate", 16, "--json") as process:
        process.read_message("sending")
        done = process.interrupt()
    assert json.loads(done.stdout)["images_sent"] == 0


@pytest.mark.parametrize(
    ("arguments", "words", "exit_code"),
    [
        (("nowhere",), "no such folder", 2),
        ((), "name one source", 2),
        ((".", "--video", "0"), "name one source", 2),
        (("--watch", "--video", "0"), "--watch is for folders", 2),
        ((".", "--rate", "1/7"), "rate", 2),
        ((".", "--rate", "256"), "has no rate", 5),
        ((".", "--codes-format", "cf32"), "is not one of 'sc8', 'sc16'", 2),
        ((".", "--connect", "udp://1.2.3.4:5"), "tcp://", 2),
        ((".", "--fps", "-1"), "fps must be positive", 2),
        (("nowhere", "--watch"), "no such folder", 2),
        ((".", "--backend", "abacus"), "is not one of 'auto', 'onnxruntime'", 2),
        ((".", "--backend", "tensorrt", "--device", "cpu"), "runs on a GPU only", 2),
        ((".", "--model-set", "nowhere"), "model set", 5),
        ((".", "--codebook", "setup.py"), "does not hold a knowledge base's codebook", 5),
        ((".", "--entries", "setup.py"), "does not hold an entry codebook", 5),
    ],
)
def test_bad_arguments_get_one_line(
    model_set: ModelSet, tmp_path: Path, arguments: tuple[str, ...], words: str, exit_code: int
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    here = [str(tmp_path) if argument == "." else argument for argument in arguments]
    if "--model-set" not in here:
        here += ["--model-set", str(model_set.folder)]
    with start(*here) as process:
        done = process.finish()
    assert done.returncode == exit_code, done.stderr
    assert "images sent" not in done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_folder_of_which_nothing_can_be_read_is_an_error(model_set: ModelSet, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    with FrameReceiver("tcp://127.0.0.1:*") as receiver:
        arguments = ("--connect", receiver.endpoint, "--model-set", model_set.folder, "--rate", 16)
        with start(tmp_path, *arguments) as process:
            done = process.finish()
    assert done.returncode == 4
    assert "none of 1 images could be read" in " ".join(done.stderr.split())


def test_full_disk_is_named(model_set: ModelSet, photos: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with FrameReceiver("tcp://127.0.0.1:*") as receiver:
        log = ("--log", "/dev/full")
        with start(
            photos, "--connect", receiver.endpoint, "--model-set", model_set.folder, "--rate", 16, *log
        ) as process:
            done = process.finish()
    assert done.returncode == 8
    assert "No space left" in " ".join(done.stderr.split())
