"""`semlink rx`: its options, what it reports while it loads, and mistakes in one line."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import faiss
import pytest
from rich.console import Console
from typer.testing import CliRunner

from edge_rx.command import app
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, KnowledgeBaseError, TransportError
from semlink.transport import FrameReceiver
from tests.support.processes import run_python, run_semlink


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


def test_engines_are_kept_in_the_named_folder(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(models: ModelSet, knowledge_base: KnowledgeBase, options: DecoderOptions) -> NoReturn:
        raise EngineError(f"kept in {options.engines}")

    monkeypatch.setattr("edge_rx.session.Decoders.of", load)
    done = CliRunner().invoke(app, [*arguments, "--engines", str(tmp_path / "kept")])
    assert str(done.exception) == f"kept in {tmp_path / 'kept'}"


@pytest.mark.parametrize(("given", "expected"), [([], "label"), (["--answer", "nearest"], "nearest")])
def test_answers_are_chosen_as_asked(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, given: list[str], expected: str
) -> None:
    def load(models: ModelSet, knowledge_base: KnowledgeBase, options: DecoderOptions) -> NoReturn:
        raise EngineError(f"by {options.answer}")

    monkeypatch.setattr("edge_rx.session.Decoders.of", load)
    done = CliRunner().invoke(app, [*arguments, *given])
    assert str(done.exception) == f"by {expected}"


@pytest.mark.parametrize(
    ("subfolder", "expected"),
    [("", "12 of 12 entries have one; answers by --answer nearest"), ("cat", "no entry has one")],
)
def test_the_use_of_labels_is_logged(
    subfolder: str,
    expected: str,
    picture_folder: Path,
    encoder: ImageEncoder,
    model_set: ModelSet,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build_knowledge_base(labelled_folder(picture_folder / subfolder), tmp_path / "KB", encoder)
    options = ["--answer", "nearest", "--idle-timeout-s", "0.01", "--results", str(tmp_path / "results")]
    folders = ["--kb", str(tmp_path / "KB"), "--model-set", str(model_set.folder)]
    with caplog.at_level(logging.INFO, logger="edge_rx.session"):
        done = CliRunner().invoke(app, ["--listen", "tcp://127.0.0.1:*", *folders, *options])
    assert done.exit_code == 0
    assert f"labels: {expected}" in caplog.text


@pytest.mark.process
def test_a_damaged_codebook_fails_the_start_in_one_line(kb_folder: Path, model_set: ModelSet, tmp_path: Path) -> None:
    next(kb_folder.glob("codebook-*.npz")).write_bytes(b"PK")
    done = run_semlink("rx", "--kb", kb_folder, "--model-set", model_set.folder, "--results", tmp_path / "results")
    assert done.returncode == KnowledgeBaseError.exit_code
    assert done.stderr.startswith("error: codebook damaged")
    assert done.stderr.endswith(f"semlink kb make-codebook {kb_folder}\n")
    assert done.stderr.count("\n") == 1


def test_a_knowledge_base_that_is_replaced_meanwhile_is_named(
    kb_folder: Path,
    model_set: ModelSet,
    picture_folder: Path,
    encoder: ImageEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    load = Decoders.of

    def load_and_replace(*arguments: Any, **options: Any) -> Decoders:
        build_knowledge_base(labelled_folder(picture_folder)[:11], kb_folder, encoder, replace=True)
        return load(*arguments, **options)

    monkeypatch.setattr("edge_rx.session.Decoders.of", load_and_replace)
    folders = ["--kb", str(kb_folder), "--model-set", str(model_set.folder), "--results", str(tmp_path / "results")]
    done = CliRunner().invoke(app, ["--listen", "tcp://127.0.0.1:*", "--idle-timeout-s", "0.2", *folders])
    assert done.exit_code == 0
    assert f"{kb_folder}: holds another version of the knowledge base" in caplog.text


@pytest.mark.parametrize(("kind", "expected"), [("ivf", ["start", "load", "end"]), ("flat", ["load"])])
def test_sorting_into_lists_is_shown(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, expected: list[str]
) -> None:
    events: list[str] = []

    @contextmanager
    def status(_: Console, message: str) -> Iterator[None]:
        assert "sorting 12 entries into lists" in message
        events.append("start")
        try:
            yield
        finally:
            events.append("end")

    def load(*_: object, **__: object) -> NoReturn:
        events.append("load")
        raise EngineError("enough")

    monkeypatch.setattr(Console, "status", status)
    monkeypatch.setattr("edge_rx.session.Decoders.of", load)
    CliRunner().invoke(app, [*arguments, "--search-index", kind])
    assert events == expected


@pytest.mark.process
def test_a_gpu_that_cannot_be_used(arguments: list[str]) -> None:
    """`gpu` is an error that says what would fix it, `auto` takes the CPU and says why."""
    options = ["rx", "--listen", "tcp://127.0.0.1:*", "--idle-timeout-s", "0.2", *arguments, "--device"]
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this faiss is built for GPUs")
    done = run_semlink(*options, "gpu")
    assert done.returncode == EngineError.exit_code
    assert "this faiss is built for the CPU; pip uninstall faiss-cpu" in " ".join(done.stderr.split())
    done = run_semlink("-v", *options, "auto")
    assert done.returncode == 0, done.stderr
    assert "search device auto: chose cpu, fp32" in " ".join(done.stderr.split())
    assert run_semlink(*options, "cpu", "--search-precision", "fp16").returncode == ConfigError.exit_code


@pytest.mark.process
def test_the_summary_for_people(arguments: list[str]) -> None:
    done = run_semlink("rx", "--listen", "tcp://127.0.0.1:*", "--idle-timeout-s", "0.2", *arguments)
    assert done.returncode == 0
    assert "frames received" in done.stderr
    assert done.stdout == ""


@pytest.mark.process
def test_a_port_in_use(arguments: list[str]) -> None:
    with FrameReceiver("tcp://127.0.0.1:*") as other:
        done = run_semlink("rx", "--listen", other.endpoint, *arguments)
    assert done.returncode == TransportError.exit_code
    assert done.stderr.startswith(f"error: cannot bind {other.endpoint}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.process
@pytest.mark.parametrize(
    ("extra", "exit_code", "message"),
    [
        (["--kb", "/nowhere"], KnowledgeBaseError.exit_code, "not a knowledge base"),
        (["--limit", "0"], ConfigError.exit_code, "limit must be at least 1"),
        (["--listen", "udp://x"], ConfigError.exit_code, "endpoint must start with tcp:// or ipc://"),
        (["--num-threads", "0"], ConfigError.exit_code, "num-threads"),
        (["--min-confidence", "7"], ConfigError.exit_code, "min-confidence"),
        (["--min-score", "0.3"], ConfigError.exit_code, "--min-score is no option any more; give --min-confidence"),
        (["--listen", "ipc:///tmp/x", "--feedback", "ipc:///tmp/x"], ConfigError.exit_code, "a port of their own"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(
    arguments: list[str], extra: list[str], exit_code: int, message: str
) -> None:
    done = run_semlink("rx", *arguments, *extra)
    assert done.returncode == exit_code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_a_kb_of_another_encoder(arguments: list[str], other_model_set: ModelSet) -> None:
    done = run_semlink("rx", *arguments, "--model-set", other_model_set.folder)
    assert done.returncode == KnowledgeBaseError.exit_code
    assert "built with encoder synthetic-encoder-0" in done.stderr
    assert "other-encoder-1" in done.stderr


@pytest.mark.process
def test_help_shows_how() -> None:
    done = run_semlink("rx", "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.process
def test_importing_the_receiver_loads_nothing_heavy() -> None:
    done = run_python("-c", "import sys, edge_rx.command, edge_rx.kb_command; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not {"faiss", "onnxruntime", "onnx", "torch"} & set(done.stdout.split())
