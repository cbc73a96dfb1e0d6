"""CLIP by open_clip: architecture and preprocessing against the published code, and weights that are refused."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from semlink.errors import ConfigError, MissingDependencyError, ModelSetError
from semlink.image import Preprocessing, preprocess
from trainer.datasets import open_dataset
from trainer.encoders import open_clip_encoder
from trainer.encoders.open_clip_encoder import load_clip_vit_b32, load_open_clip, load_openai_weights
from trainer.encoders.registry import load_encoder

needs_open_clip = pytest.mark.skipif(
    importlib.util.find_spec("open_clip") is None, reason="open_clip_torch is not installed (extra clip)"
)

SHAPES = [(224, 224), (32, 32), (300, 451), (720, 1280), (533, 400), (225, 224), (10, 200)]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """OpenAI's clip/model.py, from the clip-anytorch package, without the rest of the package."""
    try:
        path = importlib.metadata.distribution("clip-anytorch").locate_file("clip/model.py")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("clip-anytorch is not installed")
    spec = importlib.util.spec_from_file_location("openai_clip_model", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def random_clip(reference: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """A CLIP of ViT-B/32's image tower with random weights, and its file as OpenAI writes them: in fp16."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # The text tower has no part in image features, so it is as small as it can be.
        model = reference.CLIP(512, 224, 12, 768, 32, 8, 16, 64, 1, 1).eval()
    reference.convert_weights(model)
    path = tmp_path_factory.mktemp("clip") / "random.pt"
    torch.save(model.state_dict(), path)
    return model.float(), path


@needs_open_clip
def test_vit_b32_is_openais(random_clip: tuple[torch.nn.Module, Path]) -> None:
    model, path = random_clip
    encoder = load_openai_weights(path, name="random", licence="none", training_data="none")
    assert (encoder.feature_dim, encoder.size_px) == (512, 224)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = model.encode_image(pixels), encoder.network(pixels)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    # OpenAI's published statistics, on the scale 0..255.
    assert encoder.mean == pytest.approx((122.7709383, 116.7460125, 104.09373615))
    assert encoder.std == pytest.approx((68.5005327, 66.6321579, 70.32316305))


@needs_open_clip
@pytest.mark.slow
def test_vit_b32_exports(random_clip: tuple[torch.nn.Module, Path], tmp_path: Path) -> None:
    from trainer.encoders.export import write_encoder_model_set

    encoder = load_openai_weights(random_clip[1], name="random", licence="none", training_data="none")
    model_set = write_encoder_model_set(tmp_path, encoder)
    assert model_set.encoder_path.stat().st_size < 180_000_000


@needs_open_clip
def test_wrong_weights_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ViT-B-32.pt"
    path.write_bytes(b"not OpenAI's")
    with pytest.raises(
        ModelSetError, match=r"sha256 is .* expected 40d365715913.* download it again from https://openai"
    ):
        load_clip_vit_b32(path)
    with pytest.raises(ModelSetError, match="No such file"):
        load_clip_vit_b32(tmp_path / "missing.pt")


@needs_open_clip
def test_weights_with_the_pinned_hash_are_loaded(
    random_clip: tuple[torch.nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_clip[1]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pinned = replace(open_clip_encoder.OPENAI_VIT_B32, digest=digest)
    monkeypatch.setattr(open_clip_encoder, "OPENAI_VIT_B32", pinned)
    encoder: Any = load_encoder("clip-vit-b32", weights=path)
    assert (encoder.name, encoder.licence) == ("clip-vit-b32", "MIT")


@needs_open_clip
def test_a_file_that_holds_no_weights_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"unrelated": torch.zeros(1)}, path)
    for _ in range(2):
        with pytest.raises(ModelSetError, match="not weights in OpenAI's format"):
            load_openai_weights(path, name="x", licence="none", training_data="none")
        path.write_bytes(b"garbage")


@needs_open_clip
def test_any_architecture_with_a_file(tmp_path: Path) -> None:
    import open_clip

    model = open_clip.create_model("ViT-S-32-alt", pretrained=None, pretrained_text=False)
    path = tmp_path / "weights.pt"
    torch.save(model.state_dict(), path)
    encoder: Any = load_encoder("open_clip:ViT-S-32-alt", weights=path)
    assert (encoder.name, encoder.feature_dim, encoder.size_px) == ("open_clip:ViT-S-32-alt", 256, 224)
    pixels = torch.zeros(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(encoder.network(pixels), model.eval().encode_image(pixels))


@needs_open_clip
@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("ViT-Z-1/openai", None, 'no architecture "ViT-Z-1"'),
        ("ViT-B-32/nobody", None, 'no weights "nobody" for ViT-B-32; it has: .*datacomp'),
        ("ViT-B-32", "missing.pt", "no such file"),
    ],
)
def test_names_that_open_clip_does_not_know(name: str, weights: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_open_clip(name, Path(weights) if weights else None)


def test_without_open_clip_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingDependencyError, match=r"open_clip_torch.*\.\[clip\]"):
        load_encoder("clip-vit-b32")


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed (extra clip)")
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size_px", [224, 256])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_torchvision_resize_and_crop(height: int, width: int, size_px: int, interpolation: str) -> None:
    open_clip_encoder.declare_torchvision_operators()
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    transform = Compose([Resize(size_px, interpolation=InterpolationMode(interpolation)), CenterCrop(size_px)])
    photograph = Image.fromarray(open_dataset("photos").knowledge_base.image(4)).resize((width, height))
    expected = np.asarray(transform(photograph)).astype(int)
    got = preprocess(np.asarray(photograph), Preprocessing(size_px, interpolation)).astype(int)
    assert np.abs(got - expected).max() <= 1


@needs_open_clip
def test_open_clip_transform_of_every_photograph() -> None:
    open_clip_encoder.declare_torchvision_operators()
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
