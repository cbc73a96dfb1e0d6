"""Reasons for rejection are counted, and a reason is a warning once."""

from __future__ import annotations

import pytest

from semlink.errors import DecodeError
from semlink.rejections import Rejections


def test_a_reason_is_counted_without_its_numbers_and_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rejections = Rejections()
    for version in (2, 3, 0xFF):
        rejections.count(DecodeError(f"frame version {version}, this receiver reads 1"))
    rejections.count(DecodeError("truncated: 12 bytes, a header alone has 72"))
    assert rejections == {"frame version N": 3, "truncated": 1}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO", "WARNING"]
    assert caplog.messages[-1] == "dropped a message: truncated: 12 bytes, a header alone has 72"
