"""Linear heads: principal components, and within-class covariance normalisation."""

from __future__ import annotations

import numpy as np
import pytest

from semlink.errors import ConfigError
from trainer.encoders.heads import fit_pca, fit_wccn


def pooled_classes(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Twenty classes in 30 dimensions, half of which hold only what varies within a class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(20), 40)
    means = np.concatenate([rng.normal(size=(20, 15)), np.zeros((20, 15))], axis=1)
    spread = np.concatenate([np.full(15, 0.3), np.full(15, 4.0)])
    return (means[labels] + rng.normal(size=(800, 30)) * spread + 5).astype(np.float32), labels


def test_pca_is_centred_and_ordered_by_variance() -> None:
    pooled, labels = pooled_classes()
    head = fit_pca(pooled, labels, 10)
    projected = pooled @ head.weight.T + head.bias
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(head.weight @ head.weight.T, np.eye(10), atol=1e-9)
    variances = projected.var(axis=0)
    assert (np.diff(variances) < 0).all()
    whitened = fit_pca(pooled, labels, 10, whitening=0.5)
    np.testing.assert_allclose((pooled @ whitened.weight.T + whitened.bias).var(axis=0), 1, rtol=1e-3)


def test_wccn_scales_down_what_varies_within_a_class() -> None:
    pooled, labels = pooled_classes()
    accuracies = {}
    for name, head in (("pca", fit_pca(pooled, labels, 20)), ("wccn", fit_wccn(pooled, labels, 20, shrinkage=0.01))):
        features = head(pooled)
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
        similar = features @ features.T - 2 * np.eye(len(features))
        accuracies[name] = np.mean(labels[similar.argmax(axis=1)] == labels)
    assert accuracies["wccn"] > accuracies["pca"] + 0.2


def test_wccn_with_endless_shrinkage_is_pca() -> None:
    pooled, labels = pooled_classes()
    pca, wccn = fit_pca(pooled, labels, 10)(pooled), fit_wccn(pooled, labels, 10, shrinkage=1e9)(pooled)
    np.testing.assert_allclose(pca @ pca.T, wccn @ wccn.T, atol=1e-4)


@pytest.mark.parametrize(
    ("feature_dim", "shrinkage", "message"), [(31, 1.0, r"feature_dim must be in 1\.\.30"), (10, 0.0, "shrinkage")]
)
def test_heads_refuse(feature_dim: int, shrinkage: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_wccn(*pooled_classes(), feature_dim, shrinkage=shrinkage)
