"""A folder of pictures at several SNRs, as a table: python examples/many_pictures.py my-kb my-photos"""

import sys
import time
from pathlib import Path

from edge_rx import Receiver
from edge_tx import Transmitter
from semlink import Channel
from semlink.message import Message

if len(sys.argv) != 3:
    sys.exit(__doc__)
kb, folder = sys.argv[1:]
photos = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".jpg", ".png"))
with Receiver.open(kb) as receiver:
    for snr_db in (-7.0, 0.0, 10.0):
        channel = Channel("awgn", snr_db=snr_db)
        frames = map(channel.run_once, Transmitter.open(rate=64).encode_batch(photos))
        batch = receiver.run_batch([Message(frame, time.perf_counter_ns()) for frame in frames])
        records = [match.as_dict() for match in batch.complete()]  # pandas.DataFrame(records) takes them as they are
        num_correct = sum(record["label"] == photo.parent.name for record, photo in zip(records, photos, strict=True))
        print(f"{snr_db:4g} dB: {num_correct} of {len(photos)} pictures came back as one of their own class")
