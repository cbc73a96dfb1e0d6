"""Channels by name: the built-in ones, and those of a user's package."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest

from semlink.channel import ChannelModel, ChannelOutput, CustomChannel, apply_channel
from semlink.channel_registry import ENTRY_POINT_GROUP, channel_names, find_channel
from semlink.errors import ConfigError
from semlink.iq import Symbols


def with_phase(symbols: Symbols, snr_db: float, rng: np.random.Generator) -> ChannelOutput:
    return ChannelOutput(symbols * np.complex64(1j), np.full((*symbols.shape[:-1], 1), 1j, np.complex64), 0.0)


turned = CustomChannel("turned", with_phase)
no_channel = "a text"


@pytest.fixture(autouse=True)
def entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points as an installed package has them."""
    values = {
        "turned": f"{__name__}:turned",
        "text": f"{__name__}:no_channel",
        "gone": "a_package_that_is_nowhere:channel",
        "renamed": f"{__name__}:channel_of_a_former_version",
    }
    entries = [importlib.metadata.EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in values.items()]
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group, name=None: [each for each in entries if name is None or each.name == name],
    )


def test_every_channel_is_listed() -> None:
    assert channel_names() == [*(model.value for model in ChannelModel), "gone", "renamed", "text", "turned"]


def test_a_packages_channel_is_found_by_name() -> None:
    assert find_channel("turned") is turned
    assert find_channel("rayleigh") is ChannelModel.RAYLEIGH


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", r'channel "text": .*no_channel must be a CustomChannel, got str'),
        ("gone", r'channel "gone": a_package_that_is_nowhere:channel cannot be loaded: No module named'),
        ("renamed", r'channel "renamed": .*channel_of_a_former_version cannot be loaded'),
        ("vacuum", r'channel "vacuum" is unknown; choose from: ideal, awgn'),
    ],
)
def test_a_channel_that_cannot_be_had_is_one_line(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        find_channel(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (np.zeros(4, np.complex64), "must return a ChannelOutput, got ndarray"),
        (ChannelOutput(np.zeros(3, np.complex64), np.ones(1, np.complex64), 0.0), "must keep the shape of symbols"),
        (ChannelOutput(np.full(4, np.nan, np.complex64), np.ones(1, np.complex64), 0.0), "that are not finite"),
    ],
)
def test_what_a_users_channel_may_not_return_is_named(output: object, words: str) -> None:
    broken = CustomChannel("broken", lambda symbols, snr_db, rng: output)  # type: ignore[return-value]
    with pytest.raises(ConfigError, match=f'channel "broken".*{words}'):
        apply_channel(np.ones(4, np.complex64), broken, snr_db=10.0, rng=np.random.default_rng(0))
