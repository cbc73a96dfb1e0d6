"""Cells that cannot run are refused by spec and manifest."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from semlink.channel import ChannelModel, CustomChannel, apply_channel
from semlink.constellation import Constellation
from semlink.errors import ConfigError, DatasetError, MissingDependencyError
from semlink.rates import parse_rate
from tests.support.evaluation import SYNTHETIC, make_grid
from tests.support.model_sets import make_model_set
from trainer.codecs.spec import CodecSpec
from trainer.codecs.table import find_codec
from trainer.datasets.base import ImageList
from trainer.evaluation import checks
from trainer.links.conditions import Csi

FADING = {"channels": (ChannelModel.RAYLEIGH,)}
FAST = {"channels": (ChannelModel.RAYLEIGH_FAST,)}
OWN_FAST = {
    "channels": (
        CustomChannel(
            "mine",
            lambda symbols, snr_db, rng: apply_channel(symbols, ChannelModel.RAYLEIGH_FAST, snr_db=snr_db, rng=rng),
            rotates_phase=True,
        ),
    )
}


def rates(*num_symbols: int) -> dict[str, Any]:
    return {"rates": tuple(parse_rate(str(number)) for number in num_symbols)}


@pytest.mark.parametrize(
    ("codecs", "changes", "words"),
    [
        (("nested",), {"snr_db": (200.0,)}, "-100 to 100 dB"),
        (("nested",), {"snr_db": (float("nan"),)}, "-100 to 100 dB"),
        (("kbsc-reference",), {"constellation": Constellation.QPSK}, "without a constellation; leave out"),
        (("kbsc", "nested"), {**FADING, "num_pilots": 1}, "^nested needs 2 pilots or more"),
        (("kbsc-reference",), FAST, 'kbsc-reference is published for awgn, rayleigh only, not for "rayleigh-fast"'),
        (("nested-feedback",), {**FADING, "csi": Csi.GENIE}, "a genie does neither"),
        (("nested-feedback",), FAST, "a genie does neither"),
        (("uncoded",), {}, "uncoded sends the features as they are: 8 symbols, not 16"),
        (("bpg-ldpc",), FAST, 'bpg-ldpc cannot run on "rayleigh-fast"'),
        (("bpg-ldpc",), OWN_FAST, 'bpg-ldpc cannot run on "mine"'),
        (("deepjscc",), {**FAST, **rates(64)}, 'deepjscc cannot run on "rayleigh-fast"'),
        (("deepjscc",), rates(64, 16), "deepjscc needs at least 32 symbols, got 16"),
        (("index-polar",), rates(8), "16 to 512 symbols, not 8"),
        (("index-polar",), rates(1024), "16 to 512 symbols, not 1024"),
        (("index-polar",), {"constellation": Constellation.QAM16}, "leave out --constellation"),
        (("bpg-ldpc",), {"constellation": Constellation.QAM16}, "leave out --constellation"),
        (("deepjscc",), {"constellation": Constellation.QAM16, **rates(64)}, "leave out --constellation"),
        (("deepjscc", "uncoded"), rates(16), "deepjscc needs.*; uncoded sends"),
    ],
)
def test_cell_that_cannot_run_is_refused(codecs: tuple[str, ...], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checks.check_grid(make_grid(*codecs, **changes), feature_dim=16)


@pytest.mark.parametrize(
    ("codecs", "changes"),
    [
        (("nested", "index", "kbsc"), FAST),
        (("kbsc",), {**FADING, "num_pilots": 1}),
        (("nested",), {**FADING, "num_pilots": 1, "csi": Csi.NOTHING}),
        (("uncoded",), rates(8)),
        (("index-polar",), {**FAST, **rates(16, 512)}),
        (("bpg-ldpc", "deepjscc"), {**FADING, **rates(32, 1024)}),
        (("nested", "kbsc"), {"constellation": Constellation.QAM16}),
    ],
)
def test_cell_that_can_run_is_accepted(codecs: tuple[str, ...], changes: dict[str, Any]) -> None:
    checks.check_grid(make_grid(*codecs, **changes), feature_dim=16)


def test_knowledge_base_too_small_for_a_polar_code_is_refused() -> None:
    checks.check_grid(make_grid("index-polar"), feature_dim=16, num_entries=2049)
    with pytest.raises(ConfigError, match="2,049 entries or more, not 40"):
        checks.check_grid(make_grid("index-polar"), feature_dim=16, num_entries=40)


def test_what_is_unknown_refuses_nothing() -> None:
    checks.check_grid(make_grid("uncoded", "index-polar", "bpg-ldpc", "deepjscc", **rates(64)))


@pytest.mark.parametrize(
    ("codec", "sizes_px", "words"),
    [
        ("deepjscc", {(32, 32), (48, 64)}, "deepjscc is made for 32 x 32 pictures, not for 64 x 48"),
        ("bpg-ldpc", {(32, 32), (48, 64)}, "bpg-ldpc needs pictures of one size, got 32 x 32 and 64 x 48"),
        ("bpg-ldpc", {(32, 33)}, "even sides of 16 or more, got 33 x 32"),
        ("bpg-ldpc", {(8, 8)}, "even sides of 16 or more, got 8 x 8"),
    ],
)
def test_pictures_of_a_size_that_a_codec_cannot_send_are_refused(
    codec: str, sizes_px: set[tuple[int, int]], words: str
) -> None:
    sizes = frozenset(sizes_px)
    with pytest.raises(ConfigError, match=words):
        checks.check_grid(make_grid(codec, **rates(64)), image_sizes_px=sizes)
    with pytest.raises(DatasetError, match=words):
        checks.check_training_set([find_codec(codec)], images_of(sizes_px, num_images=200))
    checks.check_grid(make_grid("nested", codec, **rates(64)), image_sizes_px=frozenset({(32, 32)}))


def images_of(sizes_px: Iterable[tuple[int, int]], *, num_images: int, num_categories: int = 2) -> ImageList:
    """Black pictures of the sizes in turn, and of the categories in turn."""
    pictures = itertools.cycle([np.zeros((*size, 3), np.uint8) for size in sizes_px])
    labels = [str(number % num_categories) for number in range(num_images)]
    return ImageList.of_arrays(
        list(itertools.islice(pictures, num_images)), [str(number) for number in range(num_images)], labels
    )


@pytest.mark.parametrize(
    ("codec", "min_images"),
    [
        ("nested", 10),
        ("nested-cells", 12),
        ("vq", 24),
        ("vq-product", 24),
        ("kbsc", 1280),
        ("deepjscc", 158),
        ("bpg-ldpc", 10),
    ],
)
def test_training_set_of_too_few_images_is_refused(codec: str, min_images: int) -> None:
    checks.check_training_set([find_codec(codec)], images_of([(32, 32)], num_images=min_images))
    few = images_of([(32, 32)], num_images=min_images - 1)
    with pytest.raises(DatasetError, match=rf"{codec} needs {min_images:,} training images or more, got"):
        checks.check_training_set([find_codec("index"), find_codec(codec)], few)


@pytest.mark.parametrize("codec", ["nested-labels", "label"])
def test_training_set_of_too_few_images_of_each_category_is_refused(codec: str) -> None:
    checks.check_training_set([find_codec(codec)], images_of([(1, 1)], num_images=39, num_categories=3))
    with pytest.raises(DatasetError, match=f"{codec} needs 13 training images of each category, got 38 images of 3"):
        checks.check_training_set([find_codec(codec)], images_of([(1, 1)], num_images=38, num_categories=3))
    with pytest.raises(DatasetError, match=f"{codec} needs training images of at least 2 categories, got 1"):
        checks.check_training_set([find_codec(codec)], images_of([(1, 1)], num_images=38, num_categories=1))


def test_pictures_are_read_for_the_codecs_that_need_them_alone() -> None:
    images = images_of([(2, 4), (6, 8)], num_images=4)
    assert checks.image_sizes([find_codec("nested"), find_codec("bpg-ldpc")], images) == {(2, 4), (6, 8)}
    assert checks.image_sizes([find_codec("nested"), find_codec("kbsc")], images) is None


def test_codec_without_seeds_on_a_model_for_each_seed_is_refused() -> None:
    spec = CodecSpec(name="mine", summary="", links=print, model_of="nested", is_seeded=False)
    with pytest.raises(ConfigError, match="mine has is_seeded=False, but uses the model of nested"):
        checks.check_grid(make_grid(spec))


def test_model_that_the_set_lacks_is_refused(tmp_path: Path) -> None:
    models = make_model_set(tmp_path / "set", rates=(16, 64), nested=True, categories=("cat", "boat"))
    held = ("nested", "nested-cells", "nested-feedback", "nested-labels", "index-labels", "index", "uncoded")
    checks.check_model_set(make_grid(SYNTHETIC, *held, **rates(16, 64)), models)
    for codec in ("kbsc", "label", "vq", "deepjscc", "bpg-ldpc"):
        with pytest.raises(ConfigError, match=rf"holds synthetic-codec, .*, not {codec}; use --weights trained"):
            checks.check_model_set(make_grid(codec), models)


def test_codec_on_another_ones_model_needs_that_model(tmp_path: Path) -> None:
    models = make_model_set(tmp_path / "set", rates=(16,))
    with pytest.raises(ConfigError, match="not nested-labels; use --weights trained"):
        checks.check_model_set(make_grid("index-labels"), models)
    assert checks.model_owner(find_codec("index-labels")).name == "nested-labels"
    assert checks.model_owner(find_codec("nested")).name == "nested"


def test_rate_that_the_set_lacks_is_refused(tmp_path: Path) -> None:
    models = make_model_set(tmp_path / "set", rates=(64, 128), nested=True)
    with pytest.raises(ConfigError, match="has synthetic-codec at 64, 128 symbols, not at 4, 16; choose from"):
        checks.check_model_set(make_grid("nested", SYNTHETIC, **rates(4, 16, 64)), models)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"bpg-ldpc needs torch.*train"):
        checks.check_packages(make_grid("bpg-ldpc"), fits=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("av", "sionna") else object())
    with pytest.raises(MissingDependencyError, match=r"bpg-ldpc needs av.*references"):
        checks.check_packages(make_grid("bpg-ldpc"), fits=False)
    with pytest.raises(MissingDependencyError, match=r"index-polar needs sionna-no-rt.*references"):
        checks.check_packages(make_grid("index-polar"), fits=False)
    checks.check_packages(make_grid("index", "uncoded"), fits=True)


def test_packages_of_fitting_are_needed_for_fitting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else object())
    checks.check_packages(make_grid("nested-feedback"), fits=False)
    with pytest.raises(MissingDependencyError, match="nested-cells needs scikit-learn"):
        checks.check_packages(make_grid("nested-feedback"), fits=True)
