"""Precisions of the image encoder: rewritten graphs, kept beside the model set, run by the transmitter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from edge_tx.model import load_transmitter_model
from engines.backends.onnxruntime.session import onnxruntime
from engines.backends.runner import load_runner
from engines.backends.target import Device, Target
from engines.command import app
from engines.encoder_precision import build_encoder, default_store, encoder_graph
from engines.graphs.quantize import Int8Style, at_precision, int8_style
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from semlink.errors import ConfigError, EngineError, MissingDependencyError, SemlinkError
from semlink.iq import CodesFormat, dequantize
from semlink.rates import parse_rate
from tests.support.deadlines import DEADLINE_S
from tests.support.model_sets import make_model_set

RATE = parse_rate("64")


@dataclass(frozen=True)
class Case:
    """A model set, pictures for it, and where its fp16 and int8 are."""

    models: ModelSet
    tensors: list[np.ndarray]
    engines: Path

    @property
    def is_builtin(self) -> bool:
        return self.models.name == "builtin"

    def at(self, precision: Precision) -> onnx.ModelProto:
        model = encoder_graph(self.models, precision, default_store(self.models, self.engines))
        assert isinstance(model, onnx.ModelProto)
        return model


def case_of(models: ModelSet, engines: Path) -> Case:
    """Smooth patches of colour, which an encoder tells apart."""
    size = models.manifest.encoder.preprocessing.size_px // 7
    coarse = np.random.default_rng(0).integers(0, 256, (40, 7, 7, 3), dtype=np.uint8)
    tensors = [np.kron(patch, np.ones((size, size, 1), np.uint8)) for patch in coarse]
    build_encoder(models, Precision.INT8, default_store(models, engines), pictures=tensors)
    build_encoder(models, Precision.FP16, default_store(models, engines))
    return Case(models, tensors, engines)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Two layers of convolutions, whose rewriting takes no time."""
    folder = tmp_path_factory.mktemp("small")
    models = make_model_set(folder / "models", rates=(64,), size_px=28, convolutional=True)
    return case_of(models, folder / "engines")


@pytest.fixture(scope="module")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case_of(ModelSet.find("builtin"), tmp_path_factory.mktemp("engines"))


@pytest.fixture(params=["small", pytest.param("builtin", marks=pytest.mark.main_python)])
def case(request: pytest.FixtureRequest) -> Case:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Case)
    return found


@pytest.mark.parametrize(
    ("precision", "least_cosine", "most_share"), [(Precision.FP16, 0.999, 1.05), (Precision.INT8, 0.95, 0.6)]
)
def test_features_are_nearly_those_of_fp32(
    case: Case, precision: Precision, least_cosine: float, most_share: float
) -> None:
    model = case.at(precision)
    if case.is_builtin:  # whose file stores its weights in half precision already
        assert len(model.SerializeToString()) < most_share * case.models.encoder_path.stat().st_size
    pictures = np.stack(case.tensors[:12])
    features = load_runner(model.SerializeToString())(pictures)
    reference = case.models.load_encoder()(pictures)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, atol=1e-3)
    assert not np.array_equal(features, reference)
    assert np.sum(features * reference, axis=1).mean() > least_cosine


def test_arithmetic_is_what_was_asked_for(case: Case) -> None:
    """Not only the weights: convolutions compute in it, and the unit norm does not."""
    half = case.at(Precision.FP16)
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    convolutions = [node for node in half.graph.node if node.op_type == "Conv"]
    assert {types[node.input[1]] for node in convolutions} == {onnx.TensorProto.FLOAT16}
    casts = {node.output[0]: node.attribute[0].i for node in half.graph.node if node.op_type == "Cast"}
    (norm,) = (node for node in half.graph.node if node.op_type == "ReduceL2")
    assert casts[norm.input[0]] == onnx.TensorProto.FLOAT
    quantized = case.at(Precision.INT8)
    operators = [node.op_type for node in quantized.graph.node]
    assert operators.count("QuantizeLinear") >= len(convolutions)
    norm_input = next(node for node in quantized.graph.node if node.op_type == "ReduceL2").input[0]
    assert not any(node.op_type == "QuantizeLinear" and norm_input in node.input for node in quantized.graph.node)


def test_no_pair_of_int8_products_can_saturate(case: Case) -> None:
    """Of any activations, in any layout: 255 times two weights of one sign stays within int16."""
    graph = case.at(Precision.INT8).graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    consumers = {name: node for node in graph.node for name in node.input}
    dequantized = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored]
    layers = [node for node in dequantized if stored[node.input[0]].ndim > 1]
    assert len(layers) >= (45 if case.is_builtin else 3)
    for node in layers:
        weights = stored[node.input[0]]
        assert weights.dtype == np.int8
        weights = weights.T if consumers[node.output[0]].op_type == "MatMul" else weights
        for layout in (weights, np.moveaxis(weights, 1, -1)):
            rows = layout.reshape(len(weights), -1).astype(int)
            pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
            assert max(np.maximum(sign * pairs, 0).sum(axis=2).max() for sign in (1, -1)) <= 128


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_transmitter_runs_a_precision_and_its_codes_are_alike(case: Case, precision: Precision) -> None:
    tested = load_transmitter_model(case.models, RATE, EngineOptions(precision=precision, engines=case.engines))
    reference = load_transmitter_model(case.models, RATE)
    assert tested.fingerprints == reference.fingerprints, "a receiver need not know"
    symbols, expected = (
        np.stack([dequantize(model.codes(tensor, RATE), model.codes_format) for tensor in case.tensors])
        for model in (tested, reference)
    )
    # An image between two cells may fall into the other one, and then sounds otherwise altogether.
    correlation = np.real(symbols * expected.conj()).mean(axis=1)
    assert np.median(correlation) > 0.95
    assert correlation.mean() > (0.99 if precision is Precision.FP16 else 0.8)


def test_int8_that_was_not_calibrated_says_how(small: Case, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"semlink engine build .*--precision int8 --engines .* --calibrate FOLDER"):
        load_transmitter_model(small.models, RATE, EngineOptions(precision=Precision.INT8, engines=tmp_path))
    with pytest.raises(EngineError, match="at least 32 pictures, got 3"):
        build_encoder(small.models, Precision.INT8, default_store(small.models, tmp_path), pictures=small.tensors[:3])


def test_what_is_there_is_not_calibrated_again(small: Case) -> None:
    store = default_store(small.models, small.engines)
    (before,) = (engine for engine in store.all() if engine.key.precision == "int8")
    build_encoder(small.models, Precision.INT8, store)  # no pictures, and none needed
    assert before in list(store.all())


def test_pictures_are_looked_at_or_refused(small: Case) -> None:
    store = default_store(small.models, small.engines)
    with pytest.raises(ConfigError, match="--force calibrates it on these"):
        build_encoder(small.models, Precision.INT8, store, pictures=small.tensors)
    with pytest.raises(ConfigError, match="needs no pictures"):
        build_encoder(small.models, Precision.FP16, store, pictures=small.tensors)
    before = build_encoder(small.models, Precision.INT8, store)
    with pytest.raises(EngineError, match="at least 32 pictures"):
        build_encoder(small.models, Precision.INT8, store, pictures=small.tensors[:3], rebuild=True)
    assert build_encoder(small.models, Precision.INT8, store) == before


@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime-tensorrt", "tensorrt"])
def test_int8_for_a_gpu_is_not_the_cpus(small: Case, backend: str) -> None:
    target = Target(backend, Device(0))
    with pytest.raises(EngineError, match=f"engine build .*--backend {backend} --device gpu:0 --precision int8"):
        encoder_graph(small.models, Precision.INT8, default_store(small.models, small.engines), target=target)


def test_a_model_set_that_cannot_be_written_has_its_engines_in_the_cache(
    small: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert default_store(small.models).folder.is_relative_to(tmp_path)
    assert default_store(small.models, tmp_path / "named").folder == tmp_path / "named"


def test_sixteen_bits_are_not_for_tensorrt(small: Case) -> None:
    with pytest.raises(ConfigError, match="no 16-bit integers") as caught:
        load_transmitter_model(small.models, RATE, EngineOptions(backend="tensorrt"), codes_format=CodesFormat.SC16)
    assert caught.value.exit_code == 2


def test_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="not an ONNX graph"):
        at_precision(tmp_path / "encoder.onnx", Precision.FP16)


def test_transformers_are_scaled_in_each_call(small: Case, tmp_path: Path) -> None:
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
    assert int8_style(small.models.encoder_path, on_gpu=False) is Int8Style.CALIBRATED
    assert int8_style(small.models.encoder_path, on_gpu=True) is Int8Style.SYMMETRIC
    quantized = at_precision(tmp_path / "encoder.onnx", Precision.INT8, style=Int8Style.DYNAMIC)
    assert "DynamicQuantizeLinear" in {node.op_type for node in quantized.graph.node}


def engine(*arguments: object) -> Result:
    """`semlink engine` in this process; the front door, which makes one line of an error, is tested by itself."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_commands_build_list_time_and_check(small: Case, picture_folder: Path, tmp_path: Path) -> None:
    where = ("--model-set", small.models.folder, "--engines", small.engines)
    built = engine("build", *where, "--precision", "fp16", "--force")
    assert (built.exit_code, "fp16 of synthetic for onnxruntime on cpu" in built.stdout) == (0, True), built.exception
    listed = json.loads(engine("info", *where, "--json").stdout)
    assert {each["key"]["precision"] for each in listed} == {"fp16", "int8"}
    checked = engine("verify", picture_folder, *where, "--precision", "fp16", "--json")
    assert json.loads(checked.stdout)["feature_cosine"] > 0.999, checked.exception
    timed = engine("bench", *where, "--precision", "int8", "--runs", 5, "--json", tmp_path / "bench.json")
    assert timed.exit_code == 0, timed.exception
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["latency_ms"]["engine"]["num_samples"] == 5
    assert report["precision"] == "int8"


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="ONNX Runtime here is built for GPUs"
)
@pytest.mark.parametrize("arguments", [("build", "--backend", "onnxruntime-tensorrt"), ("bench",), ("verify", ".")])
def test_every_command_takes_a_device(arguments: tuple[str, ...], tmp_path: Path) -> None:
    error = engine(*arguments, "--device", "gpu:1", "--precision", "fp32", "--engines", tmp_path).exception
    assert isinstance(error, MissingDependencyError)
    assert re.search(r"pip install .*onnxruntime-gpu", str(error))


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("build", "--precision", "fp32"), "nothing to build", 2),
        (("build", "--precision", "int8"), "name a folder with --calibrate", 5),
        (("build", "--precision", "int8", "--calibrate", "nowhere"), "no such folder", 2),
        (("bench", "--precision", "int8"), "semlink engine build", 5),
        (("bench", "--backend", "abacus"), 'backend "abacus" is not known', 2),
        (("build", "--backend", "tensorrt", "--device", "cpu"), "backend tensorrt runs on a GPU only", 2),
        (("bench", "--codec", "vq"), "has no codec vq", 2),
    ],
)
def test_what_cannot_be_is_said(small: Case, arguments: tuple[str, ...], words: str, code: int, tmp_path: Path) -> None:
    error = engine(*arguments, "--model-set", small.models.folder, "--engines", tmp_path).exception
    assert isinstance(error, SemlinkError)
    assert error.exit_code == code
    assert words in str(error)


def test_a_picture_that_cannot_be_read_is_skipped_and_an_engine_cut_short_is_marked(
    small: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures, engines = tmp_path / "pictures", tmp_path / "engines"
    pictures.mkdir()
    for seed in range(32):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{seed}.png")
    (pictures / "cut.png").write_bytes((pictures / "0.png").read_bytes()[:200])
    where = ("--model-set", small.models.folder, "--engines", engines)
    built = engine("build", "--precision", "int8", "--calibrate", pictures, *where)
    assert (built.exit_code, "cut.png" in caplog.text) == (0, True)
    assert "damaged" not in engine("info", *where).stdout
    (path,) = engines.glob("*.engine")
    path.write_bytes(path.read_bytes()[:100])
    assert "damaged" in engine("info", *where).stdout


def test_an_engine_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "semlink", "engine", "bench", "--precision", "int8", "--engines", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_S, env={**os.environ, "COLUMNS": "200"}
    )
    assert done.returncode == 5
    assert "semlink engine build" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
