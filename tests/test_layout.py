"""What every package and every test keeps to: tests mirror the packages, short modules, no cycle, no fixed sleep."""

from __future__ import annotations

import ast
import functools
import graphlib
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
PACKAGES = ("semlink", "engines", "edge_tx", "edge_rx", "trainer", "benchmarks")
MAX_LINES, MAX_MEDIAN_LINES = 300, 200

OF_NO_MODULE = {
    "docs": "pages, and the commands and examples in them",
    "gpu": "modules of several packages on a real GPU",
    "link": "both ends together",
    "edge_tx/test_imports.py": "what a transmitter's machine lacks",
    "engines/backends/onnxruntime/test_telemetry.py": "what ONNX Runtime sends, whoever imports it",
    "engines/backends/tensorrt/test_api.py": "the names of TensorRT that our modules use",
    "engines/backends/tensorrt/test_rtx.py": "our graphs in TensorRT-RTX",
    "edge_rx/decoders/test_feature_gpu.py": "edge_rx.decoders.feature over a stand-in for a GPU",
    "edge_rx/decoders/test_confidence.py": "confidences of the searches among signals",
    "edge_rx/test_batches.py": "edge_rx.pipeline, for batches of frames",
    "edge_rx/test_earlier_results.py": "edge_rx.results, for files of earlier versions",
    "test_layers.py": "imports between packages",
    "test_layout.py": "this",
    "test_packaging.py": "setup.py",
}
"""Folders and files of tests that mirror no module, and what they test."""

SLEEPS = {"support/deadlines.py": "polls a condition of which no event tells"}
"""Files that call `time.sleep`, and why: none to wait for something else."""

USE_PRIVATE_NAMES = {
    "docs/test_commands.py": "click has no public list of the words that a group leaves to its commands",
    "support/name_lookups.py": "os._exit is public, whatever its name",
    "support/tensorrt_fakes.py": "ctypes has no public name for the object that byref points at",
}
"""Tests that use private names, and of what."""

START_PROCESSES = {
    "docs/test_site.py": "git, for the files that it tracks",
    "engines/backends/tensorrt/test_api.py": "a C compiler",
    "semlink/test_report.py": "git, in a repository of the test's own",
    "support/name_lookups.py": "unshare and mount, for a name server of its own",
    "support/processes.py": "every process of Python",
    "trainer/test_features.py": "a function of the test in another process, which is killed",
}
"""Files that start processes themselves, and which."""


def name_of(path: Path) -> str:
    return path.relative_to(TESTS).as_posix()


def all_tests() -> list[Path]:
    return sorted(TESTS.rglob("test_*.py"))


@functools.cache
def trees() -> dict[str, ast.AST]:
    """Syntax trees of all files of tests, by name."""
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in TESTS.rglob("*.py")}


def is_listed(name: str) -> bool:
    return any(name == listed or name.startswith(f"{listed}/") for listed in OF_NO_MODULE)


def mirrors_a_module(path: Path) -> bool:
    """Whether tests/a/test_b.py has a/b.py or the folder a/b, or, as one file of several of a module, a.py."""
    subject = ROOT / path.relative_to(TESTS).with_name(path.stem.removeprefix("test_"))
    return subject.with_suffix(".py").is_file() or subject.is_dir() or subject.parent.with_suffix(".py").is_file()


def test_tests_mirror_the_packages() -> None:
    strays = [name_of(path) for path in all_tests() if not mirrors_a_module(path) and not is_listed(name_of(path))]
    assert not strays, "move them to where their module is, or say in OF_NO_MODULE what they test"


def test_list_of_tests_without_a_module_is_short_and_true() -> None:
    for listed in OF_NO_MODULE:
        paths = [path for path in all_tests() if name_of(path) == listed or name_of(path).startswith(f"{listed}/")]
        assert paths, f"{listed} is gone: take it from the list"
        assert not all(mirrors_a_module(path) for path in paths), f"{listed} has a module: take it from the list"


@pytest.mark.parametrize("folder", [*PACKAGES, "tests"])
def test_modules_are_short(folder: str) -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MAX_LINES} == {}
    assert statistics.median(lines.values()) <= MAX_MEDIAN_LINES


def test_no_import_cycle() -> None:
    grimp = pytest.importorskip("grimp", reason="comes with import-linter, which is not installed here")
    graph = grimp.build_graph(*PACKAGES)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    graphlib.TopologicalSorter(imports).prepare()


def calls_of_sleep(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep"):
            yield node


def private_names(tree: ast.AST) -> Iterator[str]:
    """Private attributes of other objects than self, private names that are imported, and those that are patched."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) not in ("self", "cls"):
            yield ast.unparse(node)
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            texts = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
            yield from (text for text in texts if isinstance(text, str) and is_private(text.rpartition(".")[2]))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def test_no_fixed_sleep() -> None:
    """A test waits for an event, with `tests.support.deadlines`."""
    assert {name for name, tree in trees().items() if any(calls_of_sleep(tree))} == set(SLEEPS)


def starts_processes(tree: ast.AST) -> bool:
    """Whether it calls a function of subprocess, or makes a context of multiprocessing; names of types are none."""
    called = (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    bases = (ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases)
    return any(name.startswith(("subprocess.", "multiprocessing.")) for name in (*called, *bases))


def test_processes_are_started_one_way() -> None:
    """By `tests.support.processes`, which ends what a failed test leaves, and accepts Ctrl-C."""
    assert {name for name, tree in trees().items() if starts_processes(tree)} == set(START_PROCESSES)


def test_no_private_names() -> None:
    used = {name: sorted(private_names(tree)) for name, tree in trees().items()}
    assert {name: names for name, names in used.items() if names and name not in USE_PRIVATE_NAMES} == {}
    assert [name for name in USE_PRIVATE_NAMES if not used.get(name)] == [], "take them from the list"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("receiver._socket.close()", ["receiver._socket"]),
        ("from semlink.iq import _limit", ["_limit"]),
        ("patch.setattr(machine, '_CPUFREQ', 1)", ["_CPUFREQ"]),
        ("patch.setattr('semlink.machine._CPUFREQ', 1)", ["semlink.machine._CPUFREQ"]),
        ("self._mine = a.__class__", []),
    ],
)
def test_private_names_are_found(code: str, found: list[str]) -> None:
    """Else the test above would prove nothing."""
    assert list(private_names(ast.parse(code))) == found
