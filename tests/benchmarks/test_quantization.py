"""Clipping rate and EVM of a model set's codecs."""

from __future__ import annotations

import numpy as np
import pytest

from engines.models.model_set import ModelSet

pytest.importorskip("sklearn", reason="needs semlink[demo]")

from benchmarks.quantization import FORMATS, RATES, measure


def test_every_codec_rate_and_format() -> None:
    models = ModelSet.find("builtin")
    features = np.random.default_rng(0).standard_normal((20, models.feature_dim)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    rows = list(measure(models, features))
    assert [(row.codec, row.num_symbols, row.codes_format) for row in rows] == [
        (codec.name, rate.num_symbols, codes_format.name.lower())
        for codec in models.codecs
        for rate in RATES
        if rate in codec.rates
        for codes_format in FORMATS
    ]
    for sc8, sc16 in zip(rows[::2], rows[1::2], strict=True):
        assert sc8.clipping_rate <= 0.01
        assert -36.0 < sc8.evm_db < -28.0, "near the uniform quantizer's -31.8 dB at unit power"
        assert sc16.evm_db == pytest.approx(sc8.evm_db - 20 * np.log10(32767 / 127), abs=1.5)
