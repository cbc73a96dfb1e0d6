"""Interrupts while worker processes start."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")

from trainer.codecs.workers import deferred_interrupt


@pytest.fixture(autouse=True)
def default_interrupt() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_deferred_and_not_lost() -> None:
    reached = []

    def interrupted_in_the_middle() -> None:
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted_in_the_middle()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
