"""The link as a library call, for figures: features in, retrieved entries out, no sockets.

link      features -> codes -> channel -> query, through the graphs and functions that the processes use
metrics   what is right, and how sure we are
grid      codec x rate x channel x SNR x seed
report    JSON, table and plot
"""
