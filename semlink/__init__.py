"""The contract that both ends of the link obey: rates, image preprocessing, I/Q codes, frames, channels, transport.

It depends on no model, knowledge base or training code, and runs on numpy, Pillow and pyzmq alone.
"""

from typing import TYPE_CHECKING

from semlink.lazy import lazy_exports

if TYPE_CHECKING:
    from semlink.channel import CustomChannel
    from semlink.channel_process import Channel
    from semlink.frame import Frame, pack, unpack
    from semlink.rates import Rate, parse_rate

__all__ = ["Channel", "CustomChannel", "Frame", "Rate", "__version__", "pack", "parse_rate", "unpack"]

__version__ = "0.2.0"

_MODULES = {
    "Channel": "channel_process",
    "CustomChannel": "channel",
    **dict.fromkeys(("Frame", "pack", "unpack"), "frame"),
    **dict.fromkeys(("Rate", "parse_rate"), "rates"),
}
__getattr__ = lazy_exports(__name__, {name: f"semlink.{module}" for name, module in _MODULES.items()})
