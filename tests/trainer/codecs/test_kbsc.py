"""The network of arXiv 2504.01053."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")

from trainer.codecs.kbsc import KbscNetwork


def test_paper_architecture() -> None:
    network = KbscNetwork(512, 128)
    shapes = [type(layer).__name__ for layer in network.encoder]
    assert shapes == ["Linear", "ReLU", "Linear", "BatchNorm1d"]
    assert [layer.out_features for layer in network.encoder if hasattr(layer, "out_features")] == [384, 128]
    assert [layer.out_features for layer in network.decoder if hasattr(layer, "out_features")] == [384, 512]
