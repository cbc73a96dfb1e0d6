"""The transmitter: images in, frames out.

    sources --image--> pipeline: preprocess -> encode -> pack --bytes--> semlink.transport

- pipeline: the data path; model: encoder, codec and quantization as one call
- candidates, adaptation: which model and rate the next image is sent with, by the receiver's reports
- codebook_fetcher, codebook_cache: the codebook of the receiver's knowledge base, without a file
- config, loading, session, stream, summary: a transmitter that runs until its source ends
- command: `semlink tx`

Runs on numpy, Pillow and an inference engine; torch and faiss are never imported from here.
"""

from typing import TYPE_CHECKING

from semlink.lazy import lazy_exports
from semlink.packages import require_own_packages

if TYPE_CHECKING:
    from edge_tx.pipeline import Transmitter

__all__ = ["Transmitter"]

require_own_packages(["engines"])  # a name that other distributions have

__getattr__ = lazy_exports(__name__, {"Transmitter": f"{__name__}.pipeline"})
