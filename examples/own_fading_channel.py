"""A fading channel of your own: log-normal shadowing. python examples/own_fading_channel.py my-kb photo.jpg

One gain holds for a whole transmission, and its phase is random: `is_block_fading` and `rotates_phase` say so. The
receiver then needs pilots, from which it estimates the gain; here they are the transmitter's `num_pilots`, on the
command line `semlink tx --pilots 8`. `semlink evaluate` sends pilots on such a channel by itself.
"""

import sys

import numpy as np

from edge_rx import Receiver
from edge_tx import Transmitter
from semlink import Channel, CustomChannel
from semlink.channel import apply_gains

SPREAD_DB = 4.0


def shadow(symbols, snr_db, rng):
    """Draw one gain for each transmission, E|h|^2 = 1, and add white Gaussian noise: y = h x + w."""
    block = (*symbols.shape[:-1], 1)
    power_db = rng.normal(0.0, SPREAD_DB, block)
    mean_power = np.exp((SPREAD_DB * np.log(10.0) / 10.0) ** 2 / 2.0)
    magnitude = np.sqrt(10.0 ** (power_db / 10.0) / mean_power)
    gains = (magnitude * np.exp(2j * np.pi * rng.random(block))).astype(np.complex64)
    return apply_gains(symbols, gains, snr_db=snr_db, rng=rng)


shadowing = CustomChannel("shadowing", shadow, is_block_fading=True, rotates_phase=True)

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    kb, photo = sys.argv[1:]
    channel = Channel(shadowing, snr_db=20.0)
    with Receiver.open(kb) as receiver:
        print(receiver.run_once(channel.run_once(Transmitter.open(num_pilots=8).encode(photo))).label)
