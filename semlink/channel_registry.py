"""Channel models by name: the built-in ones, and those of the user's packages.

A package adds one by an entry point of the group `semlink.channels`, whose object is a `semlink.channel.CustomChannel`.
It is then a value of `semlink channel --model` and `semlink evaluate --channel`.
"""

from __future__ import annotations

import importlib.metadata

from semlink.channel import AnyChannel, ChannelModel, CustomChannel
from semlink.errors import ConfigError

__all__ = ["ENTRY_POINT_GROUP", "channel_names", "find_channel"]

ENTRY_POINT_GROUP = "semlink.channels"


def channel_names() -> list[str]:
    """Names of all channels, the built-in ones first."""
    custom = sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)})
    return [*(model.value for model in ChannelModel), *custom]


def find_channel(name: str) -> AnyChannel:
    """Return a channel by name.

    Raises
    ------
    ConfigError
        If there is none of that name, or the entry point's object cannot be loaded or is no `CustomChannel`.

    Examples
    --------
    >>> find_channel("awgn")
    <ChannelModel.AWGN: 'awgn'>
    """
    if name in {model.value for model in ChannelModel}:
        return ChannelModel(name)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            channel = entry.load()
        except Exception as error:
            raise ConfigError(f'channel "{name}": {entry.value} cannot be loaded: {error}') from error
        if not isinstance(channel, CustomChannel):
            raise ConfigError(f'channel "{name}": {entry.value} must be a CustomChannel, got {type(channel).__name__}')
        return channel
    raise ConfigError(f'channel "{name}" is unknown; choose from: {", ".join(channel_names())}')
