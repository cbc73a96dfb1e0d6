"""What `make bench-int8` measures, with a small encoder and without an emulator; and what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import int8_processors
from benchmarks.int8_processors import RANGES, Encoder, ImageSet, agreements, timed, written
from benchmarks.int8_report import EMULATED
from engines.graphs.quantize import Int8Style
from tests.support.model_sets import make_model_set
from tests.support.precisions import smooth_images


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
    assert all(0 < stage.notes["least_ms"] <= stage.p50_ms for stage in stages)
