"""The knowledge base: the images that a receiver can answer with.

build --folder--> index (vectors) + records (SQLite) + images (files) + codebooks + manifest
knowledge_base: query --search--> entry id, score --record--> label, image

storage    folders exchanged in one step, locked, synced

The commands are in `edge_rx.kb_command` and, of codebooks, in `edge_rx.codebook.command`, which build on this package.
"""

__all__ = ["KnowledgeBase", "Record"]

from edge_rx.kb.knowledge_base import KnowledgeBase
from edge_rx.kb.records import Record
