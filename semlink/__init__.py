"""The contract that both ends of the link obey: rates, image preprocessing, IQ codes, frames.

Nothing heavier than numpy, Pillow and pyzmq is imported from here, so that the ground floor runs
on the smallest transmitter.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
