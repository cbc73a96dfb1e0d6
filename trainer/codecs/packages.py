"""Optional packages that codecs need, and the error for one that is missing."""

from __future__ import annotations

import importlib.util

from semlink.errors import MissingDependencyError

__all__ = ["missing_module", "require_modules"]

_DISTRIBUTIONS = {
    "av": ("av", "references"),
    "sionna": ("sionna-no-rt", "references"),
    "sklearn": ("scikit-learn", "train"),
    "threadpoolctl": ("threadpoolctl", "train"),
    "torch": ("torch", "train"),
}
"""Top-level module: the distribution that has it, and the extra of semlink that installs it."""


def missing_module(module: str, purpose: str) -> MissingDependencyError:
    """The error for a missing module, such as "sionna.phy", with the command that installs it."""
    package = module.partition(".")[0]
    if package not in _DISTRIBUTIONS:
        return MissingDependencyError(f"{purpose} needs the Python module {package}; install the package that has it")
    distribution, extra = _DISTRIBUTIONS[package]
    return MissingDependencyError.of(distribution, extra=extra, purpose=purpose)


def require_modules(modules: tuple[str, ...], purpose: str) -> None:
    """MissingDependencyError if one of the top-level modules is not installed; imports none of them."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise missing_module(module, purpose)
