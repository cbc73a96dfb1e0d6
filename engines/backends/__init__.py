"""What runs a graph: one package for each inference library, and the choice between them."""
