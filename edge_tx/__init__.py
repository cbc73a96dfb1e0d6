"""The transmitter: picture in, frame on the wire.

    sources --image--> pipeline: preprocess -> one engine call -> codes -> pack --bytes--> semlink.transport

Runs on numpy, Pillow and an inference engine; torch and faiss are never imported from here.
"""

__all__ = ["Transmitter"]

from edge_tx.pipeline import Transmitter
