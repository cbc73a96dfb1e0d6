"""Engines on disk are found again, never believed, and built once."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from engines.agreement import Verification
from engines.store import EngineKey, EngineStore
from semlink.errors import EngineError
from tests.support.processes import RunningProcess, start_python

KEY = EngineKey("ab" * 32, "tensorrt", "10.3.0", "NVIDIA H200", "fp16")
VERIFICATION = Verification("2026-11-28T06:00:00+00:00", 8, 0.996, 0.991, 0.982, 0.7, 4.8, 10.0, 2)


def never() -> bytes:
    raise AssertionError("built again")


def test_what_was_built_is_found_and_not_built_again(tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "engines")
    assert store.find(KEY) is None
    assert store.find_or_build(KEY, lambda: b"engine") == b"engine"
    assert EngineStore(tmp_path / "engines").find_or_build(KEY, never) == b"engine"
    (stored,) = store.all()
    assert (stored.key, stored.num_bytes) == (KEY, 6)


@pytest.mark.parametrize(
    "change",
    [
        {"graph_sha256": "cd" * 32},
        {"version": "11.4.0"},
        {"device": "Orin"},
        {"precision": "fp32"},
        {"backend": "onnxruntime"},
        {"options": "other pictures"},
    ],
)
def test_an_engine_of_anything_else_is_another(tmp_path: Path, change: dict[str, str]) -> None:
    store = EngineStore(tmp_path)
    store.find_or_build(KEY, lambda: b"engine")
    values = {name: getattr(KEY, name) for name in KEY.__struct_fields__}
    assert store.find(EngineKey(**{**values, **change})) is None


def damage_engine(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_sidecar(path: Path) -> None:
    path.with_suffix(".json").write_bytes(b"{")


def carry_over(path: Path) -> None:
    """A sidecar of another machine's engine under this one's name."""
    sidecar = path.with_suffix(".json")
    sidecar.write_bytes(sidecar.read_bytes().replace(b"NVIDIA H200", b"NVIDIA H100"))


@pytest.mark.parametrize("damage", [damage_engine, damage_sidecar, carry_over])
def test_what_is_damaged_or_foreign_is_built_anew_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    store = EngineStore(tmp_path)
    store.find_or_build(KEY, lambda: b"engine")
    damage(store.path(KEY))
    with caplog.at_level(logging.WARNING):
        assert store.find_or_build(KEY, lambda: b"rebuilt") == b"rebuilt"
    assert "counts as not built" in caplog.text
    assert store.find(KEY) == b"rebuilt"


def test_building_anew_keeps_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    store.find_or_build(KEY, lambda: b"engine")

    def interrupted() -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.find_or_build(KEY, interrupted, rebuild=True)
    assert store.find(KEY) == b"engine"
    assert store.find_or_build(KEY, lambda: b"rebuilt", rebuild=True) == b"rebuilt"
    assert store.find(KEY) == b"rebuilt"


def test_an_engine_of_another_version_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = EngineStore(tmp_path)
    store.find_or_build(KEY, lambda: b"engine")
    caplog.clear()
    newer = EngineKey(KEY.graph_sha256, KEY.backend, "11.4.0", KEY.device, KEY.precision)
    assert store.find_or_build(newer, lambda: b"newer") == b"newer"
    assert "is for tensorrt 10.3.0 on NVIDIA H200; building one for 11.4.0 on NVIDIA H200" in caplog.text
    assert store.find(KEY) == b"engine"


def test_interrupted_build_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)

    def interrupted() -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.find_or_build(KEY, interrupted)
    assert store.find(KEY) is None
    assert store.find_or_build(KEY, lambda: b"engine") == b"engine"


def test_engine_without_its_sidecar_counts_as_not_built(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    store.find_or_build(KEY, lambda: b"engine")
    store.path(KEY).with_suffix(".json").unlink()
    assert store.find(KEY) is None


BUILDER = """
import sys
from pathlib import Path

from engines.store import EngineKey, EngineStore

folder, *fields = sys.argv[1:]

def build():
    print("building", flush=True)
    sys.stdin.readline()
    return b"engine"

engine = EngineStore(Path(folder)).find_or_build(EngineKey(*fields), build)
assert engine == b"engine", engine
"""


def start_builder(folder: Path) -> RunningProcess:
    """A process that finds the engine or builds it, which takes until it reads a line."""
    return start_python("-c", BUILDER, folder, *msgspec.structs.astuple(KEY), stdin=subprocess.PIPE)


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_two_processes_build_one_engine_once(tmp_path: Path) -> None:
    with start_builder(tmp_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "building\n"
        with start_builder(tmp_path) as second:
            # It waits for the first one's lock or, if nothing keeps it from building too, for its line.
            second.until_opens(tmp_path)
            second.until_blocked()
            done = [process.finish("\n") for process in (first, second)]
    assert [(process.returncode, process.stdout) for process in done] == [(0, ""), (0, "")], done


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"engines cannot be kept: .*--engines"):
        EngineStore(tmp_path / "file" / "engines").find_or_build(KEY, lambda: b"engine")
    full = EngineStore(tmp_path)
    full.path(KEY).with_name(f".{full.path(KEY).name}.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(EngineError, match="cannot be kept: No space left"):
        full.find_or_build(KEY, lambda: b"engine" * 10000)


def test_a_verification_is_kept_until_the_engine_is_another(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    assert store.verification(KEY) is None
    store.find_or_build(KEY, lambda: b"engine")
    assert store.verification(KEY) is None
    store.record(KEY, VERIFICATION)
    assert EngineStore(tmp_path).verification(KEY) == VERIFICATION
    assert store.find(KEY) == b"engine"
    newer = msgspec.structs.replace(VERIFICATION, feature_cosine=0.9)
    store.record(KEY, newer)
    assert store.verification(KEY) == newer
    store.find_or_build(KEY, lambda: b"other", rebuild=True)
    assert store.verification(KEY) is None


@pytest.mark.parametrize("damage", [damage_engine, damage_sidecar, carry_over])
def test_of_a_damaged_engine_nothing_is_verified(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store = EngineStore(tmp_path)
    store.find_or_build(KEY, lambda: b"engine")
    store.record(KEY, VERIFICATION)
    damage(store.path(KEY))
    assert store.verification(KEY) is None
    with pytest.raises(EngineError, match="is gone; build and verify it again"):
        store.record(KEY, VERIFICATION)


def test_a_sidecar_from_before_verifications_were_kept_is_read(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    store.find_or_build(KEY, lambda: b"engine")
    sidecar = store.path(KEY).with_suffix(".json")
    fields = msgspec.json.decode(sidecar.read_bytes())
    del fields["verification"]
    sidecar.write_bytes(msgspec.json.encode(fields))
    assert (store.find(KEY), store.verification(KEY)) == (b"engine", None)
