"""The options of an engine: names that are typed and names that are given, and what is refused."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from engines.backends.target import BACKENDS
from engines.options import Backend, DecoderBackend, EngineOptions, Precision
from semlink.errors import ConfigError


@pytest.mark.parametrize("precision", list(Precision))
def test_a_precision_is_taken_by_its_name(precision: Precision) -> None:
    options: dict[str, Any] = {"precision": precision.value}
    assert EngineOptions(**options) == EngineOptions(precision=precision)
    assert EngineOptions(**options).precision is precision


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, 'precision "int4" is not known; choose from: fp32, fp16, int8'),
        ({"precision": "auto"}, 'precision "auto" is not known; choose from: fp32, fp16, int8'),
        (
            {"backend": "openvino"},
            'backend "openvino" is not known; choose from: auto, onnxruntime, onnxruntime-tensorrt, tensorrt',
        ),
        ({"num_threads": 0}, "num_threads must be at least 1, got 0"),
    ],
)
def test_what_is_unknown_or_too_small_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EngineOptions(**options)
    assert str(caught.value) == message


def test_every_backend_has_a_name_on_the_command_line() -> None:
    assert get_args(Backend) == ("auto", *BACKENDS)
    assert set(get_args(DecoderBackend)) < set(get_args(Backend))
