"""Every call to TensorRT exists in every release that we support; no GPU, no TensorRT.

Against lists of names (JetPack 6's 10.3, the last 10, and 11), and against the real bindings over libraries that do
nothing, where `make install` has put them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deadlines import DEADLINE_S
from tests.support.processes import run_python
from tests.support.tensorrt_names import API_FILE, used_names

ROOT = Path(__file__).parents[4]
SUPPORT = ROOT / "tests" / "support"
RELEASES = ("10.3.0", "10.13.3.9", "11.4.0.106")
BINDINGS = Path(os.environ.get("SEMLINK_TENSORRT_BINDINGS", sys.prefix))
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")


def test_lists_are_of_the_releases_that_we_support() -> None:
    assert set(json.loads(API_FILE.read_text())) == set(RELEASES)


@pytest.mark.parametrize("release", RELEASES)
def test_every_name_that_we_use_is_in_the_release(release: str) -> None:
    api = json.loads(API_FILE.read_text())[release]
    missing = [
        f"{name}.{member}" for name, members in used_names().items() for member in members - set(api.get(name, ()))
    ]
    assert not missing, f"not in TensorRT {release}, or new: run make_tensorrt_api.py to see"


def test_the_lists_hold_nothing_that_we_do_not_use() -> None:
    used = used_names()
    for release, api in json.loads(API_FILE.read_text()).items():
        assert {name: set(members) for name, members in api.items()} == used, release


def test_a_name_that_one_release_lacks_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    for file in ("builder.py", "session.py", "runner.py"):
        shutil.copy(ROOT / "engines" / "backends" / "tensorrt" / file, tmp_path)
    with (tmp_path / "builder.py").open("a") as source:
        source.write("\n\ndef more(builder):\n    return builder.platform_has_fast_fp16\n")
    monkeypatch.setattr("tests.support.tensorrt_names.ENGINES", tmp_path)
    assert "platform_has_fast_fp16" in used_names()["Builder"]
    with (tmp_path / "builder.py").open("a") as source:
        source.write("\n\ndef more(thing):\n    return thing.platform_has_fast_fp16\n")
    with pytest.raises(LookupError, match=r"whose is thing\.platform_has_fast_fp16"):
        used_names()


@pytest.fixture(
    scope="module", params=[pytest.param(release, marks=pytest.mark.process) for release in ("10.3", "11.4")]
)
def bindings_check(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What `tensorrt_bindings_check` finds in a release's bindings."""
    release = request.param
    bindings = BINDINGS / f"tensorrt-{release}"
    if not bindings.is_dir():
        pytest.skip(f"no bindings of TensorRT {release} in {BINDINGS}: make install puts them there")
    (wheel,) = bindings.glob("*.dist-info/WHEEL")
    if f"Tag: cp{sys.version_info.major}{sys.version_info.minor}-" not in wheel.read_text():
        pytest.skip(f"the bindings in {bindings} are for another Python")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the libraries that do nothing")
    libraries = tmp_path_factory.mktemp("libraries")
    for library in LIBRARIES:
        name = f"lib{library}.so.{release.partition('.')[0]}"
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(libraries / name)]
        subprocess.run([*command, str(SUPPORT / "stub_nvinfer.c")], check=True, capture_output=True, timeout=DEADLINE_S)
    paths = {"LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": os.pathsep.join([str(bindings), str(ROOT)])}
    result = run_python(SUPPORT / "tensorrt_bindings_check.py", environment=paths)
    assert result.returncode == 0, result.stderr
    found: dict[str, object] = json.loads(result.stdout)
    assert str(found["version"]).startswith(release)
    return found


def test_the_real_bindings_have_every_name(bindings_check: dict[str, object]) -> None:
    assert bindings_check["missing"] == []


def test_the_flag_of_a_strongly_typed_network(bindings_check: dict[str, object]) -> None:
    """Bit 1 in TensorRT 10, bit 0 in 11, where the other ones are gone."""
    assert bindings_check["flag"] == (2 if str(bindings_check["version"]).startswith("10.") else 1)


def test_our_logger_and_progress_monitor_are_theirs(bindings_check: dict[str, object]) -> None:
    assert bindings_check["words"] == "first line second line"
    assert bindings_check["reported"] == [["Building", 0.0], ["Building", 0.5], ["Building", 1.0]]
    assert bindings_check["goes_on"] == [True, False]
    assert bindings_check["interruption"] == "KeyboardInterrupt"


def test_a_null_pointer_is_an_engine_error(bindings_check: dict[str, object]) -> None:
    assert bindings_check["builder"] == "TensorRT cannot start a build: TensorRT gives no reason"
    assert bindings_check["runtime"] == "TensorRT does not start: TensorRT gives no reason"
