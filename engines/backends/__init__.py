"""Runners of graphs: one package for each inference library, and the choice between them."""
