"""One picture through a noisy channel to its match: python examples/one_picture.py my-kb photo.jpg"""

import sys

from edge_rx import Receiver
from edge_tx import Transmitter
from semlink import Channel

if len(sys.argv) != 3:
    sys.exit(__doc__)
kb, photo = sys.argv[1:]
transmitter = Transmitter.open("builtin", rate="1/48")
channel = Channel("awgn", snr_db=0.0, seed=1)
with Receiver.open(kb) as receiver:
    match = receiver.run_once(channel.run_once(transmitter.encode(photo)))
    print(match.label, match.source, f"{match.score:.2f}")
