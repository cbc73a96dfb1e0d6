"""Whether the top-level packages that belong to semlink are semlink's.

`engines`, `trainer` and `benchmarks` are common names: another distribution may have one of them too. Installed into
one environment, two distributions overwrite each other's files, and on `sys.path` the first hides the second, with
errors that name neither. So the packages are compared with where semlink lies, and with what its installer recorded.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from semlink import __version__
from semlink.errors import PackageConflictError

__all__ = ["PACKAGES", "foreign_packages", "require_own_packages"]

PACKAGES = ("engines", "edge_tx", "edge_rx", "trainer", "benchmarks")
"""Top-level packages of the distribution besides `semlink` itself; setup.py reads this literal too."""

_HOME = Path(__file__).resolve().parents[1]
"""Folder in which all packages of the distribution lie."""


def foreign_packages(names: Iterable[str] = PACKAGES) -> dict[str, Path]:
    """Find packages of ours that are not: by name, the file that is imported in their place.

    A package that is not installed is not foreign.
    """
    found = {name: path for name in names if (path := _source_of(name)) is not None}
    elsewhere = {name: path for name, path in found.items() if path.parents[1] != _HOME}
    return elsewhere | {name: found[name] for name in _overwritten(found)}


def require_own_packages(names: Iterable[str] = PACKAGES) -> None:
    """Refuse to go on beside a package that another distribution has put in place of ours.

    Raises
    ------
    PackageConflictError
        If there is one; the message names it, where it lies, and the fix.
    """
    for name, path in foreign_packages(names).items():
        raise PackageConflictError(conflict(name, path))


def conflict(name: str, path: Path) -> str:
    """What is wrong with a foreign package, and the fix, in one line."""
    import importlib.metadata  # a tenth of a second with the look-up below, for those alone who need it

    owners = [owner for owner in importlib.metadata.packages_distributions().get(name, []) if owner != "semlink"]
    owner = f"of the distribution {owners[0]}" if owners else "not semlink's"
    fix = f"pip uninstall {owners[0]}, then" if owners else "remove it from the path, or"
    return f'the package "{name}" at {path.parent} is {owner}: {fix} install semlink in an environment of its own'


def _source_of(name: str) -> Path | None:
    """The file that `import name` runs; None if there is none."""
    module = sys.modules.get(name)
    try:
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    except ValueError:
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None


def _overwritten(found: dict[str, Path]) -> Iterator[str]:
    """Names of packages whose file is not the one that the installer wrote; none of a checkout, which has no record."""
    record = _HOME / f"semlink-{__version__}.dist-info" / "RECORD"
    if not record.is_file():
        return
    recorded = dict(line.split(",")[:2] for line in record.read_text(encoding="utf-8").splitlines() if line)
    for name, path in found.items():
        expected = recorded.get(f"{name}/__init__.py", "").removeprefix("sha256=")
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
        if expected and digest != expected:
            yield name
