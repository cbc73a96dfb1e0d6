"""What `make bench-int8` measures, with a small encoder and without an emulator; and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import int8_processors
from benchmarks.int8_processors import BUILTIN, RANGES, REPORT, Encoder, ImageSet, agreements, timed, written
from benchmarks.int8_report import EMULATED, as_markdown
from benchmarks.report.schemas import Int8Report
from engines.graphs.quantize import Int8Style
from semlink.errors import MissingDependencyError
from semlink.report import read_report
from tests.support.model_sets import make_model_set
from tests.support.precisions import smooth_images

ENGINES_PAGE = Path(__file__).parents[2] / "docs" / "engines.md"


@pytest.fixture(scope="module")
def measured() -> Int8Report:
    return read_report(REPORT, Int8Report)


@pytest.mark.process
def test_every_range_is_compared_on_both_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_processors, "EMULATOR", ("env",))
    models = make_model_set(tmp_path / "models", size_px=28, convolutional=True)
    images = np.stack(smooth_images(28))
    graphs = written(tmp_path / "graphs", models.encoder_path, Int8Style.CALIBRATED, list(images))
    image_set = ImageSet("patches", images[:6], images[6:])
    encoder = Encoder("small", graphs, [image_set])
    rows = list(agreements(encoder, image_set, tmp_path, num_emulated=2))
    assert [(row.weights, row.num_images) for row in rows] == [(name, count) for name in RANGES for count in (6, 2)]
    assert [row.processor for row in rows[1::2]] == [EMULATED] * len(RANGES)
    for row in rows:
        assert row.feature_cosine >= row.feature_cosine_least > 0.95
        assert (row.symbol_cosine, row.same_features) == (None, 1.0), "env changes nothing"
    stages = list(timed(encoder, num_threads=1))
    assert [stage.notes["weights"] for stage in stages] == ["fp32", *RANGES]
    least_ms: list[Any] = [stage.notes["least_ms"] for stage in stages]
    assert all(0 < least <= stage.p50_ms for least, stage in zip(least_ms, stages, strict=True))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [("full range", [1.0, 2.0]), ("seven bits", [127 / 64, 127 / 32]), ("pairs", [1.5, 2.0])],
)
def test_ranges(weights: str, expected: list[float]) -> None:
    channels = np.array([[1.0, 0.5, -1.0, 0.5], [2.0, -1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(RANGES[weights](channels), expected)


def test_without_an_emulator_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_processors, "EMULATOR", ("no-such-emulator",))
    with pytest.raises(MissingDependencyError, match="no-such-emulator is not installed; apt-get install qemu-user"):
        int8_processors.main([tmp_path], out=tmp_path / "report.json")


def test_the_page_has_what_was_measured(measured: Int8Report) -> None:
    assert as_markdown(measured) in ENGINES_PAGE.read_text(encoding="utf-8")


def test_what_was_measured_is_what_the_page_says(measured: Int8Report) -> None:
    """Pairs give the same bits on both processors; full range does not, and seven bits agree less."""
    rows = {
        (row.weights, row.images, row.processor == EMULATED): row for row in measured.rows if row.encoder == BUILTIN
    }
    for images in {images for _, images, _ in rows}:
        pairs, full = rows["pairs", images, True], rows["full range", images, True]
        assert pairs.same_features == 1.0 > full.same_features
        assert full.feature_cosine < pairs.feature_cosine
        assert rows["seven bits", images, False].feature_cosine < rows["pairs", images, False].feature_cosine
