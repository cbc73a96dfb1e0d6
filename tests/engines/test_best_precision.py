"""The precision that `tx --precision auto` takes, from the engines of a store, and the reason that it gives."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.agreement import Verification
from engines.backends.processor import instruction_set
from engines.backends.target import CPU, DEFAULT_TARGET, Device, Target
from engines.best_precision import best_precision, is_fp16_built
from engines.encoder_precision import build_encoder, default_store, encoder_key, split_images
from engines.options import Precision
from engines.store import EngineKey, EngineStore
from tests.support.precisions import Precisions

CUDA, TENSORRT = Target("onnxruntime", Device(0)), Target("tensorrt", Device(0))


@pytest.fixture
def own(small: Precisions, tmp_path: Path) -> Precisions:
    """A copy of the engines, for tests that change them."""
    shutil.copytree(small.engines, tmp_path / "engines")
    return replace(small, engines=tmp_path / "engines")


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU, with version 10.3 of TensorRT."""
    for module in ("encoder_precision", "best_precision"):
        monkeypatch.setattr(
            f"engines.{module}.processor_name", lambda device: instruction_set() if device == CPU else "a GPU"
        )
    monkeypatch.setattr("engines.best_precision.require_backend", lambda target: "10.3")


def store_of(precisions: Precisions) -> EngineStore:
    return default_store(precisions.models, precisions.engines)


def recorded(precisions: Precisions, target: Target, **changes: Any) -> EngineStore:
    """A store whose int8 for a target was verified, with some fields changed."""
    store, key = store_of(precisions), encoder_key(precisions.models, Precision.INT8, target)
    found = store.verification(encoder_key(precisions.models, Precision.INT8, DEFAULT_TARGET))
    assert found is not None
    if target != DEFAULT_TARGET:
        calibrating, _ = split_images(precisions.images)
        build_encoder(precisions.models, Precision.INT8, store, target=target, pictures=calibrating)
    store.record(key, msgspec.structs.replace(found, fp32_latency_ms=10.0, **changes))
    return store


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({"latency_ms": 5.0}, Precision.INT8, "verified on this processor: 5.00 ms an image, fp32 10.00 ms"),
        ({"latency_ms": 13.8}, Precision.FP32, "int8 is no gain on this processor: 13.80 ms an image"),
        ({"latency_ms": 5.0, "feature_cosine": 0.905}, Precision.FP32, "int8 does not agree with fp32"),
    ],
)
def test_on_a_cpu_it_is_verified_and_faster(
    own: Precisions, changes: dict[str, float], expected: Precision, reason: str
) -> None:
    """fp16 was built too, and CPUs gain nothing by it."""
    precision, why = best_precision(own.models, recorded(own, DEFAULT_TARGET, **changes), target=DEFAULT_TARGET)
    assert precision is expected
    assert reason in why


def test_another_processors_int8_is_not_taken(own: Precisions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.encoder_precision.processor_name", lambda device: "another")
    precision, why = best_precision(own.models, store_of(own), target=DEFAULT_TARGET)
    assert precision is Precision.FP32
    assert "no int8 was verified on this processor (another): semlink engine verify" in why


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({"fp32_device": "gpu"}, Precision.INT8, "verified on this processor: 5.00 ms an image, fp32 10.00 ms"),
        (
            {"fp32_device": "gpu", "fp16_latency_ms": 7.0},
            Precision.INT8,
            "verified on this processor: 5.00 ms an image, fp16 7.00 ms",
        ),
        (
            {"fp32_device": "gpu", "fp16_latency_ms": 5.1},
            Precision.FP16,
            "built for onnxruntime on gpu:0; int8 is no gain on this processor: 5.00 ms an image, fp16 5.10 ms",
        ),
        # Its tolerance there is that of scales around zero.
        ({"fp32_device": "gpu", "feature_cosine": 0.975, "feature_cosine_least": 0.85}, Precision.INT8, "verified"),
        ({"fp32_device": "gpu", "feature_cosine": 0.965}, Precision.FP16, "int8 does not agree with fp32"),
        # As recorded before fp32 was timed on the GPU.
        ({}, Precision.FP16, "int8 was timed beside fp32 on the CPU, not on this GPU: semlink engine verify"),
    ],
)
@pytest.mark.usefixtures("on_gpu")
def test_on_a_gpu_it_is_faster_than_fp32_and_fp16_there(
    own: Precisions, changes: dict[str, Any], expected: Precision, reason: str
) -> None:
    precision, why = best_precision(own.models, recorded(own, CUDA, latency_ms=5.0, **changes), target=CUDA)
    assert (precision, reason in why) == (expected, True), why


def test_a_record_without_the_later_fields_is_read() -> None:
    record = {"date": "", "num_images": 8, "feature_cosine": 1.0, "feature_cosine_least": 1.0, "symbol_cosine": 1.0}
    times = {"same_codes": 1.0, "latency_ms": 1.0, "fp32_latency_ms": 2.0, "num_threads": 1}
    found = msgspec.convert(record | times, Verification)
    assert (found.fp32_device, found.fp16_latency_ms, found.is_faster) == ("cpu", None, True)


@pytest.mark.usefixtures("on_gpu")
class TestFp16:
    def test_is_taken_on_a_gpu_where_it_was_built(self, own: Precisions, tmp_path: Path) -> None:
        assert best_precision(own.models, store_of(own), target=CUDA)[0] is Precision.FP16
        assert best_precision(own.models, EngineStore(tmp_path / "none"), target=CUDA) == (
            Precision.FP32,
            "no int8 was built: semlink engine build",
        )

    def test_of_another_encoder_is_not_taken(self, own: Precisions, tmp_path: Path) -> None:
        store = EngineStore(tmp_path / "shared")
        key = encoder_key(own.models, Precision.FP16, CUDA)
        store.find_or_build(msgspec.structs.replace(key, graph_sha256="0" * 64), lambda: b"graph")
        assert best_precision(own.models, store, target=CUDA)[0] is Precision.FP32
        store.find_or_build(key, lambda: b"graph")
        assert best_precision(own.models, store, target=CUDA)[0] is Precision.FP16

    @pytest.mark.parametrize(
        ("changes", "is_built"),
        [
            ({}, True),
            ({"version": "10.13"}, False),
            ({"device": "another GPU"}, False),
            ({"precision": "fp32"}, False),
            ({"backend": "onnxruntime-tensorrt"}, False),
        ],
    )
    def test_needs_an_engine_of_a_backend_that_builds_them(
        self, own: Precisions, changes: dict[str, str], is_built: bool
    ) -> None:
        store = store_of(own)
        assert not is_fp16_built(own.models, store, TENSORRT)
        key = EngineKey("0" * 64, "tensorrt", "10.3", "a GPU", "fp16", "building 2")
        store.find_or_build(msgspec.structs.replace(key, **changes), lambda: b"plan")
        assert is_fp16_built(own.models, store, TENSORRT) is is_built
