"""Packages of other distributions in place of ours are found, named and refused."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

import semlink
from semlink.packages import PACKAGES, foreign_packages, require_own_packages
from tests.support.processes import run_python, run_semlink

pytestmark = pytest.mark.process


def make_foreign(folder: Path, name: str, *, distribution: str | None = None) -> None:
    """A package of that name, with or without a distribution that claims it."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("# Somebody else's.\n")
    if distribution is not None:
        metadata = folder / f"{distribution}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (metadata / "top_level.txt").write_text(f"{name}\n")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_semlink(*arguments, environment={"PYTHONPATH": str(folder)}, cwd=folder)


def test_ours_are_ours() -> None:
    assert foreign_packages() == {}
    require_own_packages()


def test_first_on_the_path(tmp_path: Path) -> None:
    make_foreign(tmp_path, "engines")
    refused = run(tmp_path, "channel")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr == (
        f'error: the package "engines" at {tmp_path / "engines"} is not semlink\'s: remove it from the path, or install'
        " semlink in an environment of its own\n"
    )


def test_of_a_distribution(tmp_path: Path) -> None:
    make_foreign(tmp_path, "trainer", distribution="trainer")
    refused = run(tmp_path, "tx", "pictures")
    assert refused.returncode == 3
    assert f"at {tmp_path / 'trainer'} is of the distribution trainer: pip uninstall trainer, then" in refused.stderr


@pytest.mark.parametrize("package", ["edge_tx", "edge_rx"])
def test_at_import(tmp_path: Path, package: str) -> None:
    make_foreign(tmp_path, "engines")
    done = run_python("-c", f"import {package}", environment={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f'semlink.errors.PackageConflictError: the package "engines" at {tmp_path / "engines"} is')


def test_doctor_and_help_run_all_the_same(tmp_path: Path) -> None:
    make_foreign(tmp_path, "engines")
    help_text = run(tmp_path, "--help")
    assert (help_text.returncode, "Not available here" in help_text.stdout) == (0, True)
    examined = run(tmp_path, "doctor", "--json")
    findings = {finding["topic"]: finding for finding in json.loads(examined.stdout)}
    assert findings["package engines"]["status"] == "missing"
    assert str(tmp_path / "engines") in findings["package engines"]["found"]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder in which an installer has put semlink and a `trainer`, and recorded both."""
    site = tmp_path / "site"
    shutil.copytree(Path(semlink.__file__).parent, site / "semlink", ignore=shutil.ignore_patterns("__pycache__"))
    for name in PACKAGES:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(f'"""Ours: {name}."""\n')
    record = site / f"semlink-{semlink.__version__}.dist-info" / "RECORD"
    record.parent.mkdir()
    (record.parent / "METADATA").write_text(f"Metadata-Version: 2.1\nName: semlink\nVersion: {semlink.__version__}\n")
    (record.parent / "entry_points.txt").write_text("[semlink.commands]\nchannel = semlink.cli.channel:app\n")
    lines = []
    for path in sorted(site.rglob("*.py")):
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
        lines.append(f"{path.relative_to(site).as_posix()},sha256={digest},{path.stat().st_size}")
    record.write_text("\n".join([*lines, f"{record.relative_to(site).as_posix()},,"]))
    return site


def test_as_installed(installed: Path) -> None:
    assert run(installed, "channel", "--help").returncode == 0


def test_overwritten_by_another_installation(installed: Path) -> None:
    (installed / "trainer" / "__init__.py").write_text("# Somebody else's.\n")
    refused = run(installed, "channel", "--help")
    assert refused.returncode == 3
    assert f'the package "trainer" at {installed / "trainer"} is' in refused.stderr
