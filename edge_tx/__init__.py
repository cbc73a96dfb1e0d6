"""The transmitter: picture in, frame on the wire.

    sources --image--> pipeline: preprocess -> one engine call -> codes -> pack --bytes--> semlink.transport

Runs on numpy, Pillow and an inference engine; torch and faiss are never imported from here.
"""

from semlink.packages import require_own_packages

__all__ = ["Transmitter"]

require_own_packages(["engines"])  # a name that other distributions have

from edge_tx.pipeline import Transmitter  # noqa: E402
