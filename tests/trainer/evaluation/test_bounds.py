"""The finite-blocklength bound."""

from __future__ import annotations

import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")

from semlink.rates import parse_rate
from trainer.evaluation.bounds import message_error_rate


def test_error_rate_falls_with_snr_and_rises_with_the_number_of_messages() -> None:
    rate = parse_rate("64")
    errors = [message_error_rate(5000, rate, snr_db) for snr_db in (-15.0, -7.0, -4.0, 0.0)]
    assert errors[0] > 0.95
    assert errors[1] == pytest.approx(0.104, abs=0.002)
    assert errors[3] < 1e-6
    assert errors == sorted(errors, reverse=True)
    assert message_error_rate(100, rate, -7.0) < errors[1]
