"""The rate table, its names, and CBR."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semlink.errors import ConfigError, DecodeError
from semlink.rates import PAPER_RATES, RATES, Rate, channel_bandwidth_ratio, parse_rate, rate_of_id


def test_table_of_the_wire_is_only_appended_to() -> None:
    assert [(rate.rate_id, rate.num_symbols) for rate in RATES][:9] == [
        (0, 4), (1, 8), (2, 16), (3, 32), (4, 64), (5, 128), (6, 256), (7, 512), (8, 1024),
    ]  # fmt: skip


def test_rates_of_the_paper() -> None:
    assert [(rate.name, rate.num_symbols, rate.latent_dim) for rate in PAPER_RATES] == [
        ("1/48", 64, 128),
        ("1/24", 128, 256),
        ("1/12", 256, 512),
        ("1/6", 512, 1024),
        ("1/3", 1024, 2048),
    ]


@pytest.mark.parametrize("rate", RATES)
def test_every_name_of_a_rate_is_read(rate: Rate) -> None:
    assert parse_rate(rate.name) == parse_rate(f" {rate.num_symbols} ") == rate_of_id(rate.rate_id) == rate


@pytest.mark.parametrize("text", ["", "0", "-64", "64.0", "1/47", "2/96", "1/ 48", "six", "65"])
def test_unknown_rate_is_named_with_the_known(text: str) -> None:
    with pytest.raises(ConfigError, match=rf'rate "{text}" is unknown; .* CBR for 32 x 32 pixels: .* 64 \(1/48\)'):
        parse_rate(text)


@given(st.integers(-300, 300))
def test_any_rate_id_is_a_rate_or_a_decode_error(rate_id: int) -> None:
    if 0 <= rate_id < len(RATES):
        assert rate_of_id(rate_id).rate_id == rate_id
    else:
        with pytest.raises(DecodeError, match=f"rate id {rate_id} is not in the rate table"):
            rate_of_id(rate_id)


def test_cbr_counts_the_source_image() -> None:
    for rate in PAPER_RATES:
        numerator, denominator = map(int, rate.name.split("/"))
        cbr = channel_bandwidth_ratio(rate.num_symbols, height_px=32, width_px=32)
        assert cbr == pytest.approx(numerator / denominator)
    assert channel_bandwidth_ratio(64, height_px=720, width_px=1280) == 64 / (720 * 1280 * 3)


@pytest.mark.parametrize(("height_px", "width_px"), [(0, 32), (32, 0), (-1, -1)])
def test_cbr_of_nothing(height_px: int, width_px: int) -> None:
    with pytest.raises(ConfigError, match="at least 1 x 1"):
        channel_bandwidth_ratio(64, height_px=height_px, width_px=width_px)
