"""The doctor finds what is there, and names the command for what is not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shlex
import socket
import sys
from pathlib import Path

import pytest

from engines.models import model_set
from semlink.cli import doctor
from tests.support.processes import run_semlink


@pytest.mark.process
def test_every_line_of_this_machine() -> None:
    examined = json.loads(run_semlink("doctor", "--json").stdout)
    findings = {finding["topic"].split(" (")[0]: finding for finding in examined}
    assert {
        "python", "libzmq", "backend ONNX Runtime", "backend TensorRT", "faiss", "torch", "jinja2", "scipy",
        "onnxscript", "efficientnet_lite_pytorch", "commands", "port 5555",
    } <= findings.keys()  # fmt: skip
    assert findings["backend ONNX Runtime"]["status"] == "ok"
    assert "CPUExecutionProvider" in findings["backend ONNX Runtime"]["found"]
    assert findings["backend TensorRT"]["found"].endswith("for a GPU, see docs/engines.md")
    assert findings["model set builtin"]["status"] == "ok", findings["model set builtin"]
    assert "codecs nested" in findings["model set builtin"]["found"]
    assert all(finding["fix"] for finding in findings.values() if finding["status"] == "missing")


def test_table_shows_the_extra_that_a_command_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = doctor.Finding("faiss", "missing", "not installed", "pip install -c constraints.txt '.[cpu]'")
    monkeypatch.setattr(doctor, "examine", lambda: [finding])
    doctor.doctor(as_json=False)
    assert ".[cpu]" in capsys.readouterr().out


def findings_without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> dict[str, doctor.Finding]:
    """What the doctor finds where modules are not installed, by topic."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in modules else real(name))
    return {finding.topic.split(" (")[0]: finding for finding in doctor.examine()}


def test_missing_package_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = findings_without(monkeypatch, "faiss", "onnxruntime")
    assert (findings["faiss"].status, findings["faiss"].fix) == ("missing", "pip install -c constraints.txt '.[cpu]'")
    backend = findings["backend ONNX Runtime"]
    assert (backend.status, backend.fix) == ("missing", "pip install -c constraints.txt '.[tx]'")


def test_torch_is_for_training(monkeypatch: pytest.MonkeyPatch) -> None:
    (torch,) = (finding for name, finding in findings_without(monkeypatch, "torch").items() if name == "torch")
    assert "train, and evaluate of codecs that it trains" in torch.topic
    assert torch.fix == "pip install -c constraints.txt '.[train]'"


def test_a_backend_that_does_not_load_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "onnxruntime" else real(name))
    finding = next(finding for finding in doctor.examine() if finding.topic == "backend ONNX Runtime")
    assert finding.status == "missing"
    assert "cannot be loaded" in finding.found
    assert finding.fix == "pip install --force-reinstall onnxruntime"


def test_every_fix_by_an_extra_names_one_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = set(importlib.metadata.metadata("semlink").get_all("Provides-Extra") or [])
    everything = [finding.topic.split(" (")[0] for finding in doctor.examine() if "(" in finding.topic]
    fixes = [finding.fix for finding in findings_without(monkeypatch, *everything).values() if finding.fix]
    named = {extra for fix in fixes for extra in re.findall(r"'\.\[(.+)\]'", fix)}
    assert {"tx", "cpu", "demo", "train", "clip"} <= named <= extras


@pytest.mark.parametrize("is_checkout", [True, False])
def test_a_damaged_model_set_is_restored_from_where_it_came(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_checkout: bool
) -> None:
    folder = tmp_path / "modelsets" / "mine"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    monkeypatch.setattr(model_set, "BUILTIN_MODEL_SETS", folder.parent)
    if is_checkout:
        (tmp_path / ".git").mkdir()
    finding = next(finding for finding in doctor.examine() if finding.topic == "model set mine")
    assert finding.status == "missing"
    expected = ["git", "-C", str(tmp_path), "checkout", "--", "modelsets/mine"]
    assert shlex.split(finding.fix) == (
        expected if is_checkout else ["pip", "install", "--force-reinstall", "--no-deps", "."]
    )


def test_port_in_use_is_seen() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ports = [(port, "semlink rx --listen 'tcp://127.0.0.1:*'")]
        finding = next(finding for finding in doctor.examine(ports) if finding.topic == f"port {port}")
    assert finding.status == "note"
    assert "in use" in finding.found
    assert "--listen" in finding.fix
