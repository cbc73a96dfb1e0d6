"""Training losses of kbsc."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs semlink[train]")

from trainer.codecs.objectives import objective_loss  # noqa: E402

NAMES = ("mse", "similarity", "both")


def test_similarity_depends_on_directions_only() -> None:
    rng = np.random.default_rng(0)
    unit = torch.nn.functional.normalize
    features, sample = (unit(torch.from_numpy(rng.standard_normal((n, 32)).astype(np.float32))) for n in (20, 100))
    near = features + 0.1 * torch.randn(20, 32, generator=torch.Generator().manual_seed(0))
    loss = {(name, scale): objective_loss(name, scale * near, features, sample) for name in NAMES for scale in (1, 3)}
    assert loss["similarity", 3] == pytest.approx(loss["similarity", 1].item(), rel=1e-4)
    assert loss["mse", 3] > 10 * loss["mse", 1]
    assert loss["both", 1] == pytest.approx((loss["similarity", 1] + 32 * loss["mse", 1]).item(), rel=1e-4)
    assert objective_loss("similarity", features, features, sample) == pytest.approx(0.0, abs=1e-6)
    assert objective_loss("similarity", features.flip(0), features, sample) > 0.1
