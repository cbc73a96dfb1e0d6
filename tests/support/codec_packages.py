"""Python packages that add codecs or other parts, installed in a test's folder as pip would."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

InstallPackage: TypeAlias = Callable[..., str]
"""The fixture `install_package`: `install_codec_package` without the folder and the patch."""


def install_codec_package(
    folder: Path, patch: pytest.MonkeyPatch, source: str, *, group: str = "semlink.codecs", **entry_points: str
) -> str:
    """Install a module with entry points of a group; returns the module's name.

    Parameters
    ----------
    source : of the module, whose name no other test has
    entry_points : object of the module by name of the part, "_" in place of "-"
    """
    module = f"codec_package_{uuid.uuid4().hex}"
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name.replace('_', '-')} = {module}:{value}" for name, value in entry_points.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
    (folder / f"{module}.py").write_text(source)
    patch.syspath_prepend(str(folder))
    return module
