"""Names that a package exports and loads on first use, so that importing the package stays cheap and inert."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy_exports"]


def lazy_exports(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__` (PEP 562).

    Parameters
    ----------
    package : name of the package
    modules : module of each exported name

    Examples
    --------
    >>> lazy_exports("semlink", {"Frame": "semlink.frame"})("Frame").__name__
    'Frame'
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return load
