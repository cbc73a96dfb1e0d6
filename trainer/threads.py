"""Restrict numerical libraries to one thread, so that results do not depend on the number of cores."""

from __future__ import annotations

from contextlib import AbstractContextManager

from semlink.errors import packages_of

__all__ = ["one_thread"]


def one_thread() -> AbstractContextManager[object]:
    """Use one thread, and so one order of summation, in BLAS and OpenMP while the context lasts.

    Raises
    ------
    MissingDependencyError
        If threadpoolctl is not installed.
    """
    with packages_of("train", purpose="fitting and evaluating", package="threadpoolctl"):
        from threadpoolctl import threadpool_limits
    return threadpool_limits(1)
