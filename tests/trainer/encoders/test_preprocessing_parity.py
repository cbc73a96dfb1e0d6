"""Preprocessing gives the pixels of the transform that CLIP was trained and published with."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image

from semlink.image import Preprocessing, preprocess
from trainer.datasets import open_dataset
from trainer.encoders.open_clip_encoder import declare_torchvision_operators

SHAPES = [(224, 224), (32, 32), (300, 451), (720, 1280), (533, 400), (225, 224), (10, 200)]


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed (extra clip)")
@pytest.mark.parametrize("size_px", [224, 256])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_torchvision_resize_and_crop(height: int, width: int, size_px: int) -> None:
    declare_torchvision_operators()
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    transform = Compose([Resize(size_px, interpolation=InterpolationMode.BICUBIC), CenterCrop(size_px)])
    photograph = Image.fromarray(open_dataset("photos").knowledge_base.image(4)).resize((width, height))
    expected = np.asarray(transform(photograph)).astype(int)
    got = preprocess(np.asarray(photograph), Preprocessing(size_px=size_px)).astype(int)
    assert np.abs(got - expected).max() <= 1


@pytest.mark.skipif(
    importlib.util.find_spec("open_clip") is None, reason="open_clip_torch is not installed (extra clip)"
)
def test_open_clip_transform_of_every_photograph() -> None:
    declare_torchvision_operators()
    from open_clip.transform import PreprocessCfg, image_transform_v2

    wanted = PreprocessCfg(size=224)
    transform = image_transform_v2(wanted, is_train=False)
    photographs = open_dataset("photos").knowledge_base
    for index, name in enumerate(photographs.names):
        image = photographs.image(index)
        expected = transform(Image.fromarray(image)).numpy()
        pixels = preprocess(image, Preprocessing(size_px=224)).transpose(2, 0, 1) / 255
        got = (pixels - np.array(wanted.mean)[:, None, None]) / np.array(wanted.std)[:, None, None]
        # One grey level of 255, over the smallest standard deviation.
        assert np.abs(got - expected).max() <= 1.01 / 255 / min(wanted.std), name
