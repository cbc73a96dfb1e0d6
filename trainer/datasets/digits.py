"""The 1,797 handwritten digits in scikit-learn's wheel."""

from __future__ import annotations

import numpy as np

from semlink.errors import packages_of
from trainer.datasets.base import Dataset, ImageList, split_by_halves

__all__ = ["open_digits"]

_MAX_GREY = 16


def open_digits() -> Dataset:
    """Digits of 8 x 8 pixels; of each class the first half is sent, the second is the knowledge base.

    The values 0..16 are scaled to 0..255, and the grey plane is repeated into RGB. There is no training set: the
    digits show how a link performs on images of a kind that it was not trained on.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.

    Notes
    -----
    Source: test set of UCI "Optical recognition of handwritten digits", Alpaydin and Kaynak, 1998.
    """
    with packages_of("demo", purpose="the digits dataset", package="scikit-learn"):
        from sklearn.datasets import load_digits
    digits = load_digits()
    grey = np.rint(digits.images * (255 / _MAX_GREY)).astype(np.uint8)
    images = np.repeat(grey[:, :, :, None], 3, axis=3)
    names = [f"digit-{index:04}" for index in range(len(images))]
    return split_by_halves("digits", ImageList.of_arrays(list(images), names, [str(digit) for digit in digits.target]))
