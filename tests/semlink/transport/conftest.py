"""A receiver on a port that nobody else has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from semlink.transport import FrameReceiver


@pytest.fixture
def receiver() -> Iterator[FrameReceiver]:
    with FrameReceiver("tcp://127.0.0.1:*") as bound:
        yield bound
