"""Precisions of the image encoder: rewritten graphs, kept beside the model set, run by the transmitter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from typer.testing import CliRunner

from edge_tx.model import load_transmitter_model
from engines.command import app
from engines.encoder_precision import build_encoder, default_store, encoder_graph
from engines.engine_options import EngineOptions
from engines.modelset import ModelSet
from engines.precision import Precision
from engines.quantize import Int8Style, at_precision, int8_style
from engines.runner import load_runner
from engines.target import Device, Target
from semlink.errors import ConfigError, EngineError, MissingDependencyError
from semlink.iq import CodesFormat, dequantize
from semlink.rates import parse_rate

RATE = parse_rate("64")


@pytest.fixture(scope="module")
def builtin() -> ModelSet:
    return ModelSet.find("builtin")


@pytest.fixture(scope="module")
def tensors() -> list[np.ndarray]:
    """Smooth patches of colour, which the encoder tells apart."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (40, 7, 7, 3), dtype=np.uint8)
    return [np.kron(patch, np.ones((32, 32, 1), np.uint8)) for patch in coarse]


@pytest.fixture(scope="module")
def engines(builtin: ModelSet, tensors: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where fp16 and int8 of the built-in encoder are."""
    folder = tmp_path_factory.mktemp("engines")
    build_encoder(builtin, Precision.INT8, default_store(builtin, folder), pictures=tensors)
    build_encoder(builtin, Precision.FP16, default_store(builtin, folder))
    return folder


@pytest.mark.parametrize(
    ("precision", "least_cosine", "most_share"), [(Precision.FP16, 0.999, 1.05), (Precision.INT8, 0.95, 0.6)]
)
def test_features_are_nearly_those_of_fp32(
    builtin: ModelSet,
    tensors: list[np.ndarray],
    engines: Path,
    precision: Precision,
    least_cosine: float,
    most_share: float,
) -> None:
    model = encoder_graph(builtin, precision, default_store(builtin, engines))
    assert isinstance(model, onnx.ModelProto)
    # The set stores its weights in half precision already.
    assert len(model.SerializeToString()) < most_share * builtin.encoder_path.stat().st_size
    features = load_runner(model.SerializeToString())(np.stack(tensors))
    reference = builtin.load_encoder()(np.stack(tensors))
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, atol=1e-3)
    assert np.sum(features * reference, axis=1).mean() > least_cosine


def test_arithmetic_is_what_was_asked_for(builtin: ModelSet, engines: Path) -> None:
    """Not only the weights: convolutions compute in it, and the unit norm does not."""
    half = encoder_graph(builtin, Precision.FP16, default_store(builtin, engines))
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    convolutions = [node for node in half.graph.node if node.op_type == "Conv"]
    assert {types[node.input[1]] for node in convolutions} == {onnx.TensorProto.FLOAT16}
    casts = {node.output[0]: node.attribute[0].i for node in half.graph.node if node.op_type == "Cast"}
    (norm,) = (node for node in half.graph.node if node.op_type == "ReduceL2")
    assert casts[norm.input[0]] == onnx.TensorProto.FLOAT
    quantized = encoder_graph(builtin, Precision.INT8, default_store(builtin, engines))
    operators = [node.op_type for node in quantized.graph.node]
    assert operators.count("QuantizeLinear") > 40
    norm_input = next(node for node in quantized.graph.node if node.op_type == "ReduceL2").input[0]
    assert not any(node.op_type == "QuantizeLinear" and norm_input in node.input for node in quantized.graph.node)


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_transmitter_runs_a_precision_and_its_codes_are_alike(
    builtin: ModelSet, tensors: list[np.ndarray], engines: Path, precision: Precision
) -> None:
    tested = load_transmitter_model(builtin, RATE, EngineOptions(precision=precision, engines=engines))
    reference = load_transmitter_model(builtin, RATE)
    assert tested.fingerprints == reference.fingerprints, "a receiver need not know"
    symbols, expected = (
        np.stack([dequantize(model.codes(tensor, RATE), model.codes_format) for tensor in tensors])
        for model in (tested, reference)
    )
    # An image between two cells may fall into the other one, and then sounds otherwise altogether.
    correlation = np.real(symbols * expected.conj()).mean(axis=1)
    assert np.median(correlation) > 0.95
    assert correlation.mean() > (0.99 if precision is Precision.FP16 else 0.8)


def test_int8_that_was_not_calibrated_says_how(builtin: ModelSet, tensors: list[np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"semlink engine build .*--precision int8 --engines .* --calibrate FOLDER"):
        load_transmitter_model(builtin, RATE, EngineOptions(precision=Precision.INT8, engines=tmp_path))
    with pytest.raises(EngineError, match="at least 32 pictures, got 3"):
        build_encoder(builtin, Precision.INT8, default_store(builtin, tmp_path), pictures=tensors[:3])


def test_what_is_there_is_not_calibrated_again(builtin: ModelSet, tensors: list[np.ndarray], engines: Path) -> None:
    store = default_store(builtin, engines)
    (before,) = (engine for engine in store.all() if engine.key.precision == "int8")
    build_encoder(builtin, Precision.INT8, store)  # no pictures, and none needed
    assert before in list(store.all())


def test_pictures_are_looked_at_or_refused(builtin: ModelSet, tensors: list[np.ndarray], engines: Path) -> None:
    store = default_store(builtin, engines)
    with pytest.raises(ConfigError, match="--force calibrates it on these"):
        build_encoder(builtin, Precision.INT8, store, pictures=tensors)
    with pytest.raises(ConfigError, match="needs no pictures"):
        build_encoder(builtin, Precision.FP16, store, pictures=tensors)
    before = build_encoder(builtin, Precision.INT8, store)
    with pytest.raises(EngineError, match="at least 32 pictures"):
        build_encoder(builtin, Precision.INT8, store, pictures=tensors[:3], anew=True)
    assert build_encoder(builtin, Precision.INT8, store) == before


@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime-tensorrt", "tensorrt"])
def test_int8_for_a_gpu_is_not_the_cpus(builtin: ModelSet, engines: Path, backend: str) -> None:
    target = Target(backend, Device(0))
    with pytest.raises(EngineError, match=f"engine build .*--backend {backend} --device gpu:0 --precision int8"):
        encoder_graph(builtin, Precision.INT8, default_store(builtin, engines), target=target)


def test_a_model_set_that_cannot_be_written_has_its_engines_in_the_cache(
    builtin: ModelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert default_store(builtin).folder.is_relative_to(tmp_path)
    assert default_store(builtin, tmp_path / "named").folder == tmp_path / "named"


def test_sixteen_bits_are_not_for_tensorrt(builtin: ModelSet) -> None:
    with pytest.raises(EngineError, match="no 16-bit integers"):
        load_transmitter_model(builtin, RATE, EngineOptions(backend="tensorrt"), codes_format=CodesFormat.SC16)


def test_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="not an ONNX graph"):
        at_precision(tmp_path / "encoder.onnx", Precision.FP16)


def test_transformers_are_scaled_in_each_call(builtin: ModelSet, tmp_path: Path) -> None:
    products = "\n".join(f"y{i + 1} = MatMul (y{i}, w)" for i in range(4))
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        encoder (uint8[batch, 8] image) => (float[batch, 8] features) <float[8, 8] w = {{{", ".join(["0.1"] * 64)}}}>
        {{ y0 = Cast <to = 1> (image)
           {products}
           length = ReduceL2 <keepdims = 1> (y4)
           features = Div (y4, length) }}
    """)
    onnx.save(model, tmp_path / "encoder.onnx")
    assert int8_style(tmp_path / "encoder.onnx", on_gpu=False) is Int8Style.DYNAMIC
    assert int8_style(builtin.encoder_path, on_gpu=False) is Int8Style.CALIBRATED
    assert int8_style(builtin.encoder_path, on_gpu=True) is Int8Style.SYMMETRIC
    quantized = at_precision(tmp_path / "encoder.onnx", Precision.INT8, style=Int8Style.DYNAMIC)
    assert "DynamicQuantizeLinear" in {node.op_type for node in quantized.graph.node}


def semlink(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "semlink", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "200"})


def test_commands_build_list_time_and_check(engines: Path, picture_folder: Path, tmp_path: Path) -> None:
    where = ("--engines", engines)
    built = semlink("engine", "build", *where, "--precision", "fp16", "--force")
    assert (built.returncode, "fp16 of builtin for onnxruntime on cpu" in built.stdout) == (0, True), built.stderr
    listed = json.loads(semlink("engine", "info", *where, "--json").stdout)
    assert {engine["key"]["precision"] for engine in listed} == {"fp16", "int8"}
    checked = semlink("engine", "verify", picture_folder, *where, "--precision", "fp16", "--json")
    assert json.loads(checked.stdout)["feature_cosine"] > 0.999, checked.stderr
    timed = semlink("engine", "bench", *where, "--precision", "int8", "--runs", 5, "--json", tmp_path / "bench.json")
    report = json.loads((tmp_path / "bench.json").read_text())
    assert timed.returncode == 0, timed.stderr
    assert report["latency_ms"]["engine"]["num_samples"] == 5
    assert report["precision"] == "int8"


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="ONNX Runtime here is built for GPUs"
)
@pytest.mark.parametrize("arguments", [("build", "--backend", "onnxruntime-tensorrt"), ("bench",), ("verify", ".")])
def test_every_command_takes_a_device(arguments: tuple[str, ...], tmp_path: Path) -> None:
    where = ("--device", "gpu:1", "--precision", "fp32", "--engines", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"pip install .*onnxruntime-gpu"):
        CliRunner().invoke(app, [*arguments, *where], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("build", "--precision", "fp32"), "nothing to build", 2),
        (("build", "--precision", "int8"), "name a folder with --calibrate", 5),
        (("build", "--precision", "int8", "--calibrate", "nowhere"), "no such folder", 2),
        (("bench", "--precision", "int8"), "semlink engine build", 5),
        (("bench", "--backend", "abacus"), 'backend "abacus" is not known', 5),
        (("build", "--backend", "tensorrt", "--device", "cpu"), "backend tensorrt runs on a GPU only", 2),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], words: str, code: int, tmp_path: Path) -> None:
    done = semlink("engine", *arguments, "--engines", tmp_path)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
