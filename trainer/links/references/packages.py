"""The packages that references stand on, none of which comes with `train`."""

from __future__ import annotations

from semlink.errors import MissingDependencyError

__all__ = ["missing_module"]

_DISTRIBUTIONS = {"sionna": "sionna-no-rt"}
"""Packages whose name is not their module's."""


def missing_module(module: str, purpose: str) -> MissingDependencyError:
    """What to say of a module, such as "sionna.phy", that a reference needs."""
    package = module.partition(".")[0]
    return MissingDependencyError.of(_DISTRIBUTIONS.get(package, package), extra="references", purpose=purpose)
