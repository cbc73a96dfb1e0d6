"""`semlink doctor`: what this machine can run, and the command that adds what it cannot."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from semlink.cli import ENTRY_POINT_GROUP
from semlink.errors import SemlinkError
from semlink.provenance import describe_device, installed_versions
from semlink.transport import zmq_version

__all__ = ["Finding", "app", "examine"]

app = typer.Typer(add_completion=False)

Status = Literal["ok", "missing", "note"]

_PACKAGES = (
    # module, what it is for, how to get it
    ("onnxruntime", "inference on the CPU", "pip install semlink"),
    ("onnx", "composing the transmitter's graph", "pip install semlink"),
    ("watchfiles", "tx --watch", "pip install 'semlink[tx]'"),
    ("cv2", "tx --video: cameras and video files", "pip install 'semlink[video]'"),
    ("faiss", "kb and rx: search", "pip install 'semlink[cpu]'"),
    ("sklearn", "demo and evaluate: digits and photos", "pip install 'semlink[demo]'"),
    ("skimage", "demo and evaluate: photos", "pip install 'semlink[demo]'"),
    ("matplotlib", "plots", "pip install 'semlink[demo]'"),
    ("torch", "train, and evaluate", "pip install 'semlink[train]' (a CPU build is enough)"),
    ("open_clip", "CLIP encoders", "pip install 'semlink[clip]'"),
)
_PORTS = (5555, 5556)
"""Default ports of `semlink rx` and `semlink channel`."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the diagnosis; `fix` is a command, or empty."""

    topic: str
    status: Status
    found: str
    fix: str = ""


@app.command(epilog="Example: semlink doctor --json")
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False) -> None:
    """Say what this machine can run, and what to install for the rest."""
    findings = list(examine())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
        return
    table = Table("", "what", "found", "to add it", title=f"semlink on {describe_device()}", title_justify="left")
    signs = {"ok": "[green]ok[/green]", "missing": "[yellow]--[/yellow]", "note": "[cyan]..[/cyan]"}
    for finding in findings:
        table.add_row(signs[finding.status], *map(escape, (finding.topic, finding.found, finding.fix)))
    Console().print(table)


def examine() -> Iterator[Finding]:
    """Look at packages, devices, model sets, commands and ports; import nothing heavy."""
    versions = installed_versions()
    yield Finding("python", "ok", versions["python"])
    yield Finding("libzmq", "ok", zmq_version())
    for module, purpose, fix in _PACKAGES:
        if importlib.util.find_spec(module) is None:
            yield Finding(f"{module} ({purpose})", "missing", "not installed", fix)
        else:
            yield Finding(f"{module} ({purpose})", "ok", _version_of(module))
    yield from _devices()
    yield from _model_sets()
    commands = sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)})
    yield Finding("commands", "ok", ", ".join(commands))
    for port in _PORTS:
        yield _port(port)


def _version_of(module: str) -> str:
    distributions = importlib.metadata.packages_distributions().get(module, [])
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in dict.fromkeys(distributions)) or "yes"


def _devices() -> Iterator[Finding]:
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        yield Finding("NVIDIA GPU", "note", "present; this version computes on the CPU")
    elif Path("/etc/nv_tegra_release").exists():
        yield Finding("NVIDIA Jetson", "note", "present; this version computes on the CPU")
    else:
        yield Finding("NVIDIA GPU", "note", "none; the CPU is enough for everything in this version")


def _model_sets() -> Iterator[Finding]:
    # The ground floor knows nobody above it; what is installed beside it is found by name.
    if importlib.util.find_spec("engines") is None:
        return
    modelset = importlib.import_module("engines.modelset")
    for manifest in sorted(modelset.BUILTIN_MODEL_SETS.glob("*/manifest.json")):
        try:
            models = modelset.ModelSet(manifest.parent)
            models.encoder_path  # noqa: B018  checks the hash
            rates = ", ".join(rate.name for rate in models.rates) or "no codec"
            yield Finding(f"model set {manifest.parent.name}", "ok", f"{models.manifest.encoder.name}; rates {rates}")
        except SemlinkError as error:
            yield Finding(f"model set {manifest.parent.name}", "missing", str(error), "reinstall semlink")


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding(f"port {port}", "note", f"{error.strerror}", "stop who has it, or use --listen")
    return Finding(f"port {port}", "ok", "free")
