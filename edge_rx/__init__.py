"""The receiver: frame off the wire, image of the knowledge base out.

    semlink.transport --bytes--> pipeline: unpack -> dequantize -> equalizer -> decoder -> kb --match--> results

Each block of the path is a module of that name; `service` runs them until told to stop and
`command` is `semlink rx`. torch is never imported from here, and faiss only by `kb.index`.
"""

__all__ = ["Decoders", "KnowledgeBase", "Match", "Receiver", "ResultsLog"]

from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from edge_rx.results import ResultsLog
