"""Python packages that add codecs, installed in a test's folder as pip would."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest


def install_codec_package(folder: Path, patch: pytest.MonkeyPatch, source: str, **entry_points: str) -> str:
    """Install a module with entry points of the group `semlink.codecs`; returns the module's name.

    Parameters
    ----------
    source : of the module, whose name no other test has
    entry_points : object of the module by name of the codec, "_" in place of "-"
    """
    module = f"codec_package_{uuid.uuid4().hex}"
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name.replace('_', '-')} = {module}:{value}" for name, value in entry_points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[semlink.codecs]", *lines]))
    (folder / f"{module}.py").write_text(source)
    patch.syspath_prepend(str(folder))
    return module
