"""`python -m benchmarks.encode_graph GRAPH IMAGES FEATURES`: images through a graph, one at a time.

A process of its own, so that it can run in an emulated processor.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from engines.backends.runner import load_runner


def main() -> None:
    """Read (count, size, size, 3) uint8 from IMAGES and write (count, dim) float32 to FEATURES, both .npy files."""
    graph, images, features = map(Path, sys.argv[1:])
    runner = load_runner(graph, backend="onnxruntime", device="cpu")
    np.save(features, np.concatenate([runner(image[None]) for image in np.load(images)]))


if __name__ == "__main__":
    main()
