"""The knowledge base: the images that a receiver can answer with.

build --folder--> index (vectors) + records (SQLite) + images (files) + manifest
knowledge_base: query --search--> entry id, score --record--> label, image

storage    folders exchanged in one step, locked, synced
command    semlink kb
"""

__all__ = ["KnowledgeBase", "Record"]

from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.records import Record
