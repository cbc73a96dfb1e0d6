"""scikit-learn's digits."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from semlink.errors import MissingDependencyError
from trainer.datasets import open_dataset


def test_digits_are_split_in_halves() -> None:
    digits = open_dataset("digits")
    assert (len(digits.sent), len(digits.knowledge_base)) == (896, 901)
    assert set(digits.sent.labels) == set("0123456789")
    image = digits.sent.image(0)
    assert image.shape == (8, 8, 3)
    assert image.dtype == np.uint8
    assert max(digits.sent.image(index).max() for index in range(50)) == 255
    assert digits.train is None
    assert not set(digits.sent.names) & set(digits.knowledge_base.names)


def test_digits_without_scikit_learn_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"scikit-learn.*\.\[demo\]"):
        open_dataset("digits")
