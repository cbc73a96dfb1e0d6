"""The doctor finds what is there, and names the command for what is not."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys

import pytest

from semlink import doctor


def test_every_line_of_this_machine() -> None:
    command = [sys.executable, "-m", "semlink", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    findings = {finding["topic"].split(" (")[0]: finding for finding in json.loads(done.stdout)}
    assert {"python", "libzmq", "onnxruntime", "faiss", "torch", "commands", "port 5555"} <= findings.keys()
    assert findings["onnxruntime"]["status"] == "ok"
    assert findings["model set builtin"]["status"] == "ok", findings["model set builtin"]
    assert "1/48" in findings["model set builtin"]["found"]
    assert all(finding["fix"] for finding in findings.values() if finding["status"] == "missing")


def test_table_shows_the_extra_that_a_command_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = doctor.Finding("faiss", "missing", "not installed", "pip install 'semlink[cpu]'")
    monkeypatch.setattr(doctor, "examine", lambda: [finding])
    doctor.doctor(as_json=False)
    assert "semlink[cpu]" in capsys.readouterr().out


def test_missing_package_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "faiss" else real(name))
    finding = next(finding for finding in doctor.examine() if finding.topic.startswith("faiss"))
    assert (finding.status, finding.fix) == ("missing", "pip install 'semlink[cpu]'")


def test_port_in_use_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        monkeypatch.setattr(doctor, "_PORTS", (port,))
        finding = next(finding for finding in doctor.examine() if finding.topic == f"port {port}")
    assert finding.status == "note"
    assert "in use" in finding.found
