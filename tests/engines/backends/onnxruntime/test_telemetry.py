"""ONNX Runtime's telemetry is off: no device id and no events on the disk, and no look-up of a collector's name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engines.models.model_set import ModelSet
from tests.support.name_lookups import can_isolate, queried_names
from tests.support.processes import run_python, run_semlink

pytestmark = pytest.mark.process

COLLECTOR_ASKED_AFTER_S = 11
"""After the start of a process, by ONNX Runtime 1.31 with its telemetry on."""

# Shows what the variable is when `onnxruntime` is imported, whose first act is to import its `capi`.
WATCH_FIRST_IMPORT = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime.capi":
            print("found", os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a user who has never run anything, whose own variable asks for telemetry."""
    home = tmp_path / "home"
    home.mkdir()
    changed = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "SEMLINK_CACHE": str(tmp_path / "cache")}
    return {**changed, "ORT_DISABLE_TELEMETRY": "0"}


@pytest.mark.parametrize(
    "first",
    [
        "import engines.backends.onnxruntime.session",
        "import engines.backends.onnxruntime.tools",
        "from engines.graphs.quantize import converter_version; converter_version()",
        "from semlink.cli.doctor import examine; list(examine())",
    ],
)
def test_variable_is_set_before_the_first_import(environment: dict[str, str], first: str) -> None:
    assert run_python("-c", WATCH_FIRST_IMPORT + first, environment=environment).stdout == "found 1\n"


def test_command_leaves_nothing_at_home(environment: dict[str, str], model_set: ModelSet) -> None:
    timed = run_semlink("engine", "bench", "--model-set", model_set.folder, environment=environment)
    assert timed.returncode == 0, timed.stderr
    assert list(Path(environment["HOME"]).rglob("*")) == []


@pytest.mark.slow
@pytest.mark.skipif(not can_isolate(), reason="this user may not make network namespaces")
def test_transmitter_asks_for_no_name(environment: dict[str, str], picture_folder: Path) -> None:
    semlink = (sys.executable, "-m", "semlink")
    asks = [sys.executable, "-c", "import socket; socket.getaddrinfo('control.invalid', 443)"]
    # Encodes the first picture, and waits for a receiver that is not there.
    waits = f"{2 * COLLECTOR_ASKED_AFTER_S + 8}"
    transmits = [*semlink, "tx", str(picture_folder), "--connect", "tcp://127.0.0.1:9", "--peer-timeout-s", waits]
    of_control, of_transmitter = queried_names(asks, transmits, environment={**os.environ, **environment})
    assert of_control == ["control.invalid"]
    assert of_transmitter == []
