"""A channel of your own: one symbol in ten is lost. python examples/own_channel.py my-kb photo.jpg

As an entry point of the group semlink.channels it is also a value of `semlink channel --model` and of
`semlink evaluate --channel`:

    [project.entry-points."semlink.channels"]
    dropout = "my_package:dropout"
"""

import sys

import numpy as np

from edge_rx import Receiver
from edge_tx import Transmitter
from semlink import Channel, CustomChannel
from semlink.channel import apply_gains


def lose_symbols(symbols, snr_db, rng):
    """Erase each symbol with probability 0.1, then add white Gaussian noise."""
    gains = (rng.random(symbols.shape) >= 0.1).astype(np.complex64)
    return apply_gains(symbols, gains, snr_db=snr_db, rng=rng)


dropout = CustomChannel("dropout", lose_symbols)

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    kb, photo = sys.argv[1:]
    channel = Channel(dropout, snr_db=10.0)
    with Receiver.open(kb) as receiver:
        print(receiver.run_once(channel.run_once(Transmitter.open().encode(photo))).label)
