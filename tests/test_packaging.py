"""What the distribution says of itself: extras, pins, typing markers and the citation."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import semlink
from semlink.packages import PACKAGES
from tests.support.processes import run_python

ROOT = Path(__file__).parents[1]
TOP_LEVEL = ("semlink", *PACKAGES)
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
METADATA = importlib.metadata.metadata("semlink")
EXTRAS = set(METADATA.get_all("Provides-Extra") or [])
REQUIREMENTS = [Requirement(line) for line in METADATA.get_all("Requires-Dist") or []]
UNPINNED = ("tensorrt", "pycuda")
"""Of a Jetson's or a GPU machine's own installation."""


@pytest.mark.parametrize("package", TOP_LEVEL)
def test_package_is_typed_and_ours(package: str) -> None:
    folder = Path(str(importlib.import_module(package).__file__)).parent
    assert (folder / "py.typed").is_file()
    assert folder.parent == ROOT


@pytest.mark.process
def test_setup_reads_the_packages_without_importing_them(tmp_path: Path) -> None:
    """As in a build: semlink is neither installed nor on the path."""
    pytest.importorskip("setuptools")
    program = """
import json, sys
import setuptools
from distutils.core import run_setup

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in TOP_LEVEL:
            raise ModuleNotFoundError(name)

TOP_LEVEL = sys.argv[2:]
sys.meta_path.insert(0, Refuse())
distribution = run_setup(sys.argv[1], stop_after="init")
print(json.dumps([distribution.metadata.version, distribution.packages]))
"""
    done = run_python("-I", "-c", program, ROOT / "setup.py", *TOP_LEVEL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    version, packages = json.loads(done.stdout.splitlines()[-1])
    assert version == semlink.__version__
    assert {package.partition(".")[0] for package in packages} == set(TOP_LEVEL)
    assert {package for package in packages if package.startswith("benchmarks.")} == {"benchmarks.report"}
    assert {"engines.backends.tensorrt", "trainer.codecs"} < set(packages)


def test_every_extra_that_a_message_names_exists() -> None:
    sources = [path for package in TOP_LEVEL for path in (ROOT / package).rglob("*.py")]
    named = {extra for path in sources for extra in re.findall(r'extra="([^"]+)"', path.read_text(encoding="utf-8"))}
    assert {"cpu", "demo"} <= named <= EXTRAS


@pytest.mark.parametrize("document", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))])
def test_every_extra_that_a_page_names_exists(document: str) -> None:
    named = re.findall(r"'\.\[([a-z,-]+)\]'", (ROOT / document).read_text(encoding="utf-8"))
    assert {extra for group in named for extra in group.split(",")} <= EXTRAS


def pins(python: str) -> dict[str, str]:
    """Exact version of each distribution on an interpreter."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line.partition("#")[0].strip()) for line in lines if line.partition("#")[0].strip()]
    here = [r for r in requirements if r.marker is None or r.marker.evaluate({"python_version": python})]
    names = [canonicalize_name(requirement.name) for requirement in here]
    assert len(names) == len(set(names)), f"two pins on Python {python}"
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in here}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned_within_its_bounds(python: str) -> None:
    pinned = pins(python)
    for requirement in REQUIREMENTS:
        extras = EXTRAS if requirement.marker is not None else {""}
        environments = [{"python_version": python, "extra": extra} for extra in extras]
        is_needed = requirement.marker is None or any(map(requirement.marker.evaluate, environments))
        if is_needed and requirement.name not in UNPINNED:
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_citation() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    for line in (
        f"title: {METADATA['Name']}",
        f"version: {semlink.__version__}",
        f"license: {METADATA['License']}",
        f"  - name: {METADATA['Author']}",
    ):
        assert citation.count(line) == 1, line
    method = (METADATA.get_all("Project-URL") or [])[0].removeprefix("Method, ")
    assert f"    url: {method}" in citation
