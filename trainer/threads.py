"""One core for what must come out the same on any number of them."""

from __future__ import annotations

from contextlib import AbstractContextManager

from semlink.errors import MissingDependencyError

__all__ = ["one_thread"]


def one_thread() -> AbstractContextManager[object]:
    """While it lasts, sums come in one order, however many cores there are.

    Raises
    ------
    MissingDependencyError
        If threadpoolctl is not installed.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MissingDependencyError.of("threadpoolctl", extra="train", purpose="fitting and evaluating") from None
    return threadpool_limits(1)
