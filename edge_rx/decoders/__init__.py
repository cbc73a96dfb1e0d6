"""Decoders: from received symbols to an entry of the knowledge base."""
