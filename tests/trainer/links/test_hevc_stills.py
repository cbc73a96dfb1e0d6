"""Pictures as HEVC stills and back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("av", reason="needs semlink[references]")

from semlink.errors import ConfigError, DecodeError
from trainer.links.hevc_stills import BEST_QP, WORST_QP, HevcStills, StillLadder


@pytest.fixture(scope="module")
def stills() -> HevcStills:
    return HevcStills(height_px=32, width_px=32)


def test_quality_rises_with_size(stills: HevcStills, sent_pictures: list[np.ndarray]) -> None:
    errors, sizes = [], []
    for qp in (WORST_QP, 37, 20):
        payloads = stills.encode(sent_pictures[:10], qp)
        assert not any(payload.endswith(b"\x00") or b"\x00\x00\x01" in payload for payload in payloads)
        received = stills.decode(payloads)
        pairs = zip(received, sent_pictures, strict=False)
        errors.append(np.mean([(got - want.astype(float)) ** 2 for got, want in pairs]))
        sizes.append(sum(map(len, payloads)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 80  # most of it is noise that 4:2:0 does not carry
    assert sizes[0] < sizes[1] < sizes[2]
    assert stills.decode([]) == []


def test_stills_are_independent(stills: HevcStills, sent_pictures: list[np.ndarray]) -> None:
    together = stills.encode(sent_pictures[:4], 30)
    for got, want in zip(stills.decode(together), sent_pictures[:4], strict=True):
        (alone,) = stills.decode(stills.encode([want], 30))
        np.testing.assert_array_equal(got, alone)
    backwards = stills.decode(together[::-1])[::-1]
    for got, want in zip(backwards, stills.decode(together), strict=True):
        np.testing.assert_array_equal(got, want)


def test_best_still_within_a_budget(stills: HevcStills, sent_pictures: list[np.ndarray]) -> None:
    qps = range(BEST_QP, WORST_QP + 1)
    sizes = {qp: [len(payload) for payload in stills.encode(sent_pictures[:10], qp)] for qp in qps}
    ladder = StillLadder(stills, sent_pictures[:10])
    smallest = min(sizes[WORST_QP])
    assert ladder.best_within(smallest - 1) == [None] * 10
    for num_bytes in (smallest, 40, 200):
        for index, payload in enumerate(ladder.best_within(num_bytes)):
            fitting = [qp for qp in qps if sizes[qp][index] <= num_bytes]
            assert (payload is None) == (not fitting)
            assert payload is None or len(payload) == sizes[min(fitting)][index]


def test_pictures_of_another_size_are_refused(sent_pictures: list[np.ndarray]) -> None:
    with pytest.raises(ConfigError, match="15 x 32"):
        HevcStills(height_px=32, width_px=15)
    small = HevcStills(height_px=16, width_px=16)
    with pytest.raises(ConfigError, match="32 x 32"):
        small.encode(sent_pictures[:1], 30)


def test_damaged_payload_is_no_picture(stills: HevcStills) -> None:
    with pytest.raises(DecodeError):
        stills.decode([b"\x01"])
