"""Exported graphs compute what the network computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs semlink[train]")

from engines.backends.runner import load_runner  # noqa: E402
from trainer.codecs.export import export_codec  # noqa: E402
from trainer.codecs.kbsc import KbscNetwork  # noqa: E402


def test_export_computes_what_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = KbscNetwork(32, 64)
    network.train()
    for _ in range(20):  # gives batch normalisation statistics that are not the identity's
        network.decoder(network.encoder(torch.randn(64, 32) * 3 + 1))
    network.eval()
    export_codec(network, tmp_path / "e.onnx", tmp_path / "d.onnx")
    features = torch.randn(5, 32)
    with torch.no_grad():
        latent = network.encoder(features)
        query = network.decoder(latent)
    # Weights are stored as fp16: a relative error of 2^-11 for each, averaged over the sums.
    np.testing.assert_allclose(load_runner(tmp_path / "e.onnx")(features.numpy()), latent, atol=5e-3)
    np.testing.assert_allclose(load_runner(tmp_path / "d.onnx")(latent.numpy()), query, atol=5e-3)
