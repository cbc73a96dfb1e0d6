"""Encoders that were rewritten in a precision: kept beside the model set, and refused where they were not verified."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_tx.model import load_index_model, load_transmitter_model
from engines import encoder_precision
from engines.agreement import tolerance
from engines.backends.target import DEFAULT_TARGET, Device, Target
from engines.encoder_precision import (
    build_encoder,
    default_store,
    encoder_graph,
    encoder_key,
    require_verified,
    split_images,
)
from engines.graphs import quantize
from engines.models import model_files
from engines.models.entry_codebook import EntryCodebook
from engines.models.model_set import ModelSet
from engines.onnx_model import load_onnx
from engines.options import EngineOptions, Precision
from engines.store import EngineStore
from engines.verification import verify_engine
from semlink.errors import ConfigError, EngineError
from semlink.files import file_sha256
from semlink.iq import CodesFormat, dequantize
from tests.support.model_sets import make_model_set
from tests.support.precisions import RATE, Precisions, smooth_images

INT8_CPU = EngineOptions(backend="onnxruntime", device="cpu", precision=Precision.INT8)


@pytest.fixture
def own(small: Precisions, tmp_path: Path) -> Precisions:
    """A copy of the engines, for tests that change them."""
    shutil.copytree(small.engines, tmp_path / "engines")
    return replace(small, engines=tmp_path / "engines")


def store_of(precisions: Precisions) -> EngineStore:
    return default_store(precisions.models, precisions.engines)


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_transmitter_runs_a_precision_and_its_codes_are_alike(precisions: Precisions, precision: Precision) -> None:
    tested = load_transmitter_model(precisions.models, RATE, precisions.options(precision))
    reference = load_transmitter_model(precisions.models, RATE)
    assert tested.fingerprints == reference.fingerprints, "a receiver need not know"
    symbols, expected = (
        np.stack([dequantize(model.codes(image, RATE), model.codes_format) for image in precisions.images])
        for model in (tested, reference)
    )
    # An image between two cells may fall into the other one, and its symbols then are others altogether.
    correlation = np.real(symbols * expected.conj()).mean(axis=1)
    assert np.median(correlation) > 0.95
    assert correlation.mean() > (0.99 if precision is Precision.FP16 else 0.8)


def test_int8_that_was_not_built_says_how(small: Precisions, tmp_path: Path) -> None:
    how = r"semlink engine build --precision int8 --calibrate FOLDER --model-set .* --engines .*"
    with pytest.raises(EngineError, match=how):
        load_transmitter_model(small.models, RATE, replace(INT8_CPU, engines=tmp_path))
    with pytest.raises(EngineError, match=how):
        encoder_graph(small.models, Precision.INT8, default_store(small.models, tmp_path))


@pytest.mark.parametrize("has_tensorrt", [False, True])
def test_the_command_names_only_what_differs_from_its_defaults(
    has_tensorrt: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(encoder_precision, "missing_for_tensorrt", lambda: [] if has_tensorrt else ["tensorrt"])
    monkeypatch.setattr(encoder_precision, "processor_name", lambda device: "a processor that no engine is for")
    builtin = ModelSet.find("builtin")
    named = " --backend onnxruntime --device cpu" if has_tensorrt else ""  # "auto" may take another
    how = f"(a processor that no engine is for): semlink engine build --precision int8 --calibrate FOLDER{named}"
    with pytest.raises(EngineError) as caught:
        require_verified(builtin, Precision.INT8, default_store(builtin))
    assert str(caught.value) == f"int8 of builtin was not built for this processor {how}"
    with pytest.raises(EngineError, match=f"FOLDER{named} --engines '.*an engine'$"):
        require_verified(builtin, Precision.INT8, default_store(builtin, tmp_path / "an engine"))


def test_a_transformer_is_refused_until_it_is_verified_though_it_needs_no_calibration(tmp_path: Path) -> None:
    models, options = make_model_set(tmp_path / "models", size_px=14), replace(INT8_CPU, engines=tmp_path / "engines")
    with pytest.raises(EngineError, match="was not built for this processor"):
        load_transmitter_model(models, RATE, options)
    build_encoder(models, Precision.INT8, default_store(models, options.engines))
    with pytest.raises(
        EngineError, match=r"not verified on this processor \(.+\): semlink engine verify FOLDER --precision int8"
    ):
        load_transmitter_model(models, RATE, options)
    verify_engine(models, options, smooth_images(14, 8), rate=RATE)
    assert load_transmitter_model(models, RATE, options).codes(smooth_images(14, 1)[0], RATE).any()


def test_a_start_with_int8_reads_the_encoder_once(own: Precisions, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder may have hundreds of MB."""
    models = ModelSet(own.models.folder)
    path = models.encoder_path
    models = ModelSet(own.models.folder)
    hashed: list[Path] = []
    monkeypatch.setattr(model_files, "file_sha256", lambda path: hashed.append(path) or file_sha256(path))
    parsed: list[Path] = []
    monkeypatch.setattr(quantize, "load_onnx", lambda graph: parsed.append(graph) or load_onnx(graph))
    load_transmitter_model(models, RATE, own.options(Precision.INT8))
    assert hashed.count(path) == 1
    assert len(parsed) <= 1, "none if another model set's encoder of this content was parsed before"


def test_index_is_refused_as_other_codecs_are(small: Precisions, tmp_path: Path) -> None:
    vectors = np.eye(2, small.models.feature_dim, dtype=np.int8)
    entries = EntryCodebook(vectors, np.ones(2, np.float32), b"kb" * 4, small.models.encoder_fingerprint)
    with pytest.raises(EngineError, match="was not built for this processor"):
        load_index_model(small.models, entries, replace(INT8_CPU, engines=tmp_path))


def test_another_processor_has_another_engine(own: Precisions, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with the same files, such as a container's or a network's folder."""
    key = encoder_key(own.models, Precision.INT8, DEFAULT_TARGET)
    monkeypatch.setattr(encoder_precision, "processor_name", lambda device: "x86_64 of another kind")
    other = encoder_key(own.models, Precision.INT8, DEFAULT_TARGET)
    assert (other.device, other.stem == key.stem) == ("x86_64 of another kind", False)
    with pytest.raises(EngineError, match="was not built for this processor"):
        load_transmitter_model(own.models, RATE, own.options(Precision.INT8))
    assert encoder_key(own.models, Precision.FP16, DEFAULT_TARGET).device == "any"


@pytest.mark.parametrize("field", ["feature_cosine", "feature_cosine_least"])
def test_an_engine_that_does_not_agree_is_refused(own: Precisions, field: str) -> None:
    store, key = store_of(own), encoder_key(own.models, Precision.INT8, DEFAULT_TARGET)
    verified = store.verification(key)
    assert verified is not None
    require_verified(own.models, Precision.INT8, store)
    needed = tolerance(Precision.INT8, on_gpu=False)
    store.record(key, msgspec.structs.replace(verified, **{field: getattr(needed, field) - 1e-6}))
    with pytest.raises(EngineError, match=r"where 0\.98 and 0\.9 are needed; calibrate it on images more like those"):
        load_transmitter_model(own.models, RATE, own.options(Precision.INT8))


def test_calibrating_again_needs_another_verification(own: Precisions) -> None:
    calibrating, _ = split_images(own.images)
    build_encoder(own.models, Precision.INT8, store_of(own), pictures=calibrating, rebuild=True)
    with pytest.raises(EngineError, match="was not verified on this processor"):
        require_verified(own.models, Precision.INT8, store_of(own))


def test_what_is_there_is_not_calibrated_again(small: Precisions) -> None:
    store = store_of(small)
    (before,) = (engine for engine in store.all() if engine.key.precision == "int8")
    build_encoder(small.models, Precision.INT8, store)  # no pictures, and none needed
    assert before in list(store.all())


def test_pictures_are_looked_at_or_refused(own: Precisions) -> None:
    store = store_of(own)
    with pytest.raises(ConfigError, match="--force calibrates it on these"):
        build_encoder(own.models, Precision.INT8, store, pictures=own.images)
    with pytest.raises(ConfigError, match="needs no pictures"):
        build_encoder(own.models, Precision.FP16, store, pictures=own.images)
    before = build_encoder(own.models, Precision.INT8, store)
    with pytest.raises(EngineError, match="at least 32 pictures"):
        build_encoder(own.models, Precision.INT8, store, pictures=own.images[:3], rebuild=True)
    assert build_encoder(own.models, Precision.INT8, store) == before


@pytest.mark.parametrize(("count", "num_held_out"), [(40, 8), (44, 8), (320, 64)])
def test_images_to_verify_on_are_others_than_those_to_calibrate_on(count: int, num_held_out: int) -> None:
    images = [np.full((1, 1, 3), number % 256, np.uint8) for number in range(count)]
    calibrating, held_out = split_images(images)
    assert len(held_out) == num_held_out
    assert sorted(map(id, [*calibrating, *held_out])) == sorted(map(id, images))


def test_too_few_images_to_split() -> None:
    with pytest.raises(EngineError, match=r"at least 40 images, got 39; name a folder .* with --calibrate"):
        split_images([np.zeros((1, 1, 3), np.uint8)] * 39)


@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime-tensorrt", "tensorrt"])
def test_int8_for_a_gpu_is_not_the_cpus(small: Precisions, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_precision, "processor_name", lambda device: f"NVIDIA H200 {device.gpu}")
    target = Target(backend, Device(0))
    with pytest.raises(EngineError, match=f"engine build --precision int8 .*--backend {backend} --device gpu:0"):
        encoder_graph(small.models, Precision.INT8, store_of(small), target=target)
    key = encoder_key(small.models, Precision.INT8, target)
    assert (key.device, key.options) == ("NVIDIA H200 0", f"symmetric for {backend}")


def test_a_model_set_that_cannot_be_written_has_its_engines_in_the_cache(
    small: Precisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert default_store(small.models).folder.is_relative_to(tmp_path)
    assert default_store(small.models, tmp_path / "named").folder == tmp_path / "named"


def test_sixteen_bits_are_not_for_tensorrt(small: Precisions) -> None:
    with pytest.raises(ConfigError, match="no 16-bit integers") as caught:
        load_transmitter_model(small.models, RATE, EngineOptions(backend="tensorrt"), codes_format=CodesFormat.SC16)
    assert caught.value.exit_code == 2
