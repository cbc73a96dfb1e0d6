"""The receiver: frame off the wire, image of the knowledge base out.

    semlink.transport --bytes--> pipeline: unpack -> dequantize -> equalizer -> decoder -> kb --match--> results

Each block of the path is a module of that name; `service` runs them until told to stop and
`command` is `semlink rx`. torch is never imported from here, and faiss only by `kb.index`.
"""

from semlink.packages import require_own_packages

__all__ = ["Decoders", "KnowledgeBase", "Match", "Receiver", "ResultsLog"]

require_own_packages(["engines"])  # a name that other distributions have

from edge_rx.decoders.base import Decoders  # noqa: E402
from edge_rx.kb import KnowledgeBase  # noqa: E402
from edge_rx.match import Match  # noqa: E402
from edge_rx.pipeline import Receiver  # noqa: E402
from edge_rx.results import ResultsLog  # noqa: E402
