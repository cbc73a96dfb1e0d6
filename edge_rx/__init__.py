"""The receiver: frames in, images of the knowledge base out.

    semlink.transport --bytes--> pipeline: unpack -> dequantize -> equalize -> decode -> search --match--> results

- pipeline: the data path; equalizer, noise, decoders and kb are its blocks
- session, service, results, summary: a receiver that runs until it is stopped, with results on disk
- codebook: makes the codebook of `adapted` for a knowledge base
- command, kb_command, codebook.command: `semlink rx`, `semlink kb`

torch is never imported from here, and faiss only by `kb.index`.
"""

from typing import TYPE_CHECKING

from semlink.lazy import lazy_exports
from semlink.packages import require_own_packages

if TYPE_CHECKING:
    from edge_rx.kb.knowledge_base import KnowledgeBase
    from edge_rx.match import Match
    from edge_rx.pipeline import Receiver
    from edge_rx.results import read_results

__all__ = ["KnowledgeBase", "Match", "Receiver", "read_results"]

require_own_packages(["engines"])  # a name that other distributions have

_MODULES = {"KnowledgeBase": "kb.knowledge_base", "Match": "match", "Receiver": "pipeline", "read_results": "results"}
__getattr__ = lazy_exports(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
