"""Any ONNX graph as an image encoder: completed to the interface of a model set, or refused with what is expected."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from engines.onnx_model import IR_VERSION, OPSET
from semlink.errors import ConfigError, EngineError, ModelSetError
from semlink.image import Preprocessing
from tests.support.encoders import FEATURE_DIM, SIZE_PX, projection, write_image_graph
from trainer.encoders.onnx_encoder import OnnxEncoder

MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)


def make(path: Path, **fields: object) -> OnnxEncoder:
    """An encoder of float32 pixels, unless told otherwise."""
    settings = {"name": "mine", "graph": path, "licence": "MIT", "mean": MEAN, "std": STD, **fields}
    return OnnxEncoder(**settings)


def images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def expected_features(*, planar: bool, is_float: bool) -> np.ndarray:
    pixels = images().astype(np.float64)
    pixels = (pixels - MEAN) / STD if is_float else pixels - 127
    if planar:
        pixels = pixels.transpose(0, 3, 1, 2)
    features = pixels.reshape(len(pixels), -1) @ projection()
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.mark.parametrize("unit_norm", [False, True])
@pytest.mark.parametrize("dtype", ["float", "uint8"])
@pytest.mark.parametrize("planar", [True, False])
def test_graphs_of_every_layout_are_completed(tmp_path: Path, planar: bool, dtype: str, unit_norm: bool) -> None:
    path = write_image_graph(tmp_path / "mine.onnx", planar=planar, dtype=dtype, unit_norm=unit_norm)
    is_float = dtype == "float"
    encoder = make(path) if is_float else make(path, mean=None, std=None)
    model_set = encoder.write(tmp_path / "set")
    features = ImageEncoder(model_set).encode(list(images()))
    np.testing.assert_allclose(features, expected_features(planar=planar, is_float=is_float), atol=1e-5)


def test_the_manifest_says_what_was_given(tmp_path: Path) -> None:
    path = write_image_graph(tmp_path / "graph.onnx")
    model_set = make(path, interpolation="bilinear", training_data="my photos").write(tmp_path / "set")
    entry = model_set.manifest.encoder
    assert (entry.name, entry.licence, entry.training_data) == ("mine", "MIT", "my photos")
    assert (entry.feature_dim, entry.preprocessing) == (FEATURE_DIM, Preprocessing(SIZE_PX, "bilinear"))
    assert model_set.codecs == ()
    model = onnx.load(model_set.encoder_path)
    assert (model.opset_import[0].version, model.ir_version) == (OPSET, IR_VERSION)
    # Found by the transmitter's graph, which expects these names.
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("image", "features")


def test_the_same_graph_gives_the_same_fingerprint(tmp_path: Path) -> None:
    path = write_image_graph(tmp_path / "graph.onnx")
    first, again = (make(path).write(tmp_path / name).encoder_fingerprint for name in ("first", "again"))
    assert first == again
    assert make(path, mean=(0.0,) * 3).write(tmp_path / "other").encoder_fingerprint != first


def test_another_filter_gives_another_fingerprint(tmp_path: Path) -> None:
    """Features are cached, and knowledge bases bound, by the fingerprint."""
    path = write_image_graph(tmp_path / "graph.onnx")
    bicubic, bilinear = (make(path, interpolation=name).write(tmp_path / name) for name in ("bicubic", "bilinear"))
    assert bicubic.encoder_fingerprint != bilinear.encoder_fingerprint
    assert bilinear.encoder_fingerprint == make(path, interpolation="bilinear").write(tmp_path).encoder_fingerprint
    # Equal for an image that is not resized.
    np.testing.assert_array_equal(*(ImageEncoder(models).encode(list(images())) for models in (bicubic, bilinear)))


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_other_operator_sets_are_converted(tmp_path: Path, opset: int) -> None:
    path = write_image_graph(tmp_path / "graph.onnx", opset=opset, unit_norm=True)
    features = ImageEncoder(make(path).write(tmp_path / "set")).encode(list(images()))
    np.testing.assert_allclose(features, expected_features(planar=True, is_float=True), atol=1e-5)


def test_a_batch_axis_of_one_is_freed(tmp_path: Path) -> None:
    path = write_image_graph(tmp_path / "graph.onnx", batch=1)
    features = ImageEncoder(make(path).write(tmp_path / "set")).encode(list(images()))
    np.testing.assert_allclose(features, expected_features(planar=True, is_float=True), atol=1e-5)


def test_a_free_size_is_fixed(tmp_path: Path) -> None:
    path = write_image_graph(tmp_path / "graph.onnx", size_px="side")
    with pytest.raises(ConfigError, match=r"graph\.onnx: takes images of any size; give the size"):
        make(path).write(tmp_path / "set")
    assert make(path, size_px=SIZE_PX).write(tmp_path / "set").image_spec.shape == (None, SIZE_PX, SIZE_PX, 3)


def test_one_of_several_outputs(tmp_path: Path) -> None:
    path = write_image_graph(tmp_path / "graph.onnx", extra_output=True)
    with pytest.raises(ConfigError, match="has 2 outputs; name the one with the features: features, vector"):
        make(path).write(tmp_path / "set")
    with pytest.raises(ConfigError, match='has no output "pooled"; it has: features, vector'):
        make(path, output="pooled").write(tmp_path / "set")
    assert make(path, output="features").write(tmp_path / "features").feature_dim == FEATURE_DIM
    assert make(path, output="vector").write(tmp_path / "vector").feature_dim == 3 * SIZE_PX**2


@pytest.mark.parametrize(
    ("graph", "fields", "error", "message"),
    [
        ({}, {"mean": None}, ConfigError, "takes float32; give mean and std"),
        ({}, {"std": (1.0, 0.0, 1.0)}, ConfigError, "std positive, got"),
        ({}, {"mean": (float("nan"),) * 3}, ConfigError, "mean must be finite"),
        ({}, {"mean": (1e38,) * 3, "std": (1e-3,) * 3}, ConfigError, "mean must be finite"),
        ({}, {"std": (1e30,) * 3}, EngineError, "zero or not finite; check mean and std"),
        ({}, {"size_px": 32}, ConfigError, "takes images of 8 x 8 pixels, not of 32 x 32"),
        ({}, {"interpolation": "nearest"}, ConfigError, 'must be "bicubic" or "bilinear", got "nearest"'),
        ({"dtype": "uint8"}, {}, ConfigError, "takes uint8 pixels, so that mean and std do not apply"),
        ({"batch": 1, "fixed_reshape": True}, {}, EngineError, "batch of 3 images: .*; export it .* free batch axis"),
        ({"domain": "com.microsoft"}, {}, EngineError, "operators of com.microsoft; export it with ONNX's own"),
    ],
)
def test_graphs_and_settings_that_are_refused(
    tmp_path: Path, graph: dict[str, object], fields: dict[str, object], error: type[Exception], message: str
) -> None:
    path = write_image_graph(tmp_path / "graph.onnx", **graph)
    with pytest.raises(error, match=rf"(?:graph\.onnx: .*)?{message}"):
        make(path, **fields).write(tmp_path / "set")
    assert not (tmp_path / "set").exists()


def parsed(path: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> {text}'), path)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g (float[n, 4, 8, 8] x) => (float[n, 4, 8, 8] y) { y = Relu(x) }", "the input is .*expected one input"),
        ("g (float[n, 3] x) => (float[n, 3] y) { y = Relu(x) }", "the input is .*expected one input"),
        ("g (double[n, 3, 8, 8] x) => (double[n, 3, 8, 8] y) { y = Relu(x) }", r"tensor\(double\).*expected one input"),
        ("g (float[n, 3, 8, 8] a, float[n, 3, 8, 8] b) => (float[n, 3, 8, 8] y) { y = Add(a, b) }", "the graph has 2"),
        (
            "g (float[n, 3, 8, 9] x) => (float[n, 3, 8, 9] y) { y = Relu(x) }",
            "images of 9 x 8 pixels, expected squares",
        ),
        (
            "g (float[n, 3, 8, 8] x) => (float[n, 3, 8, 8] y) { y = Relu(x) }",
            r"\(1, 3, 8, 8\), expected float32 \(1, f",
        ),
        (
            "g (float[n, 3, 8, 8] x) => (float[n, 192] y) { f = Flatten(x) y = Softmax<axis = 0>(f) }",
            "different test images have the same features",
        ),
        (
            "g (float[n, 3, 8, 8] x) => (float[n, 192] y) <int64[1] a = {0}>"
            " { f = Flatten(x) m = ReduceMax<keepdims = 1>(f, a) h = Mul(f, m) y = Add(h, m) }",
            r"features of an image differ in a batch, cosine .*; export it in evaluation mode",
        ),
        (
            "g (float[n, 3, 8, 8] x) => (float[n, 192] y)"
            " { f = Flatten(x) l = ReduceL2<keepdims = 1>(f) y = Div(f, l) }",
            r"features of an image differ in a batch, cosine 1\.0000, norm 0\.",
        ),
    ],
)
def test_graphs_that_are_no_image_encoder(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(EngineError, match=rf"graph\.onnx: .*{message}"):
        make(parsed(tmp_path / "graph.onnx", text)).write(tmp_path / "set")


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_text("no graph")
    for name in ("graph.onnx", "nowhere.onnx"):
        with pytest.raises(EngineError, match=rf"{name}: not an ONNX graph"):
            make(tmp_path / name).write(tmp_path / "set")


def test_codecs_of_another_encoder_stay(tmp_path: Path, model_set: ModelSet) -> None:
    import shutil

    folder = Path(shutil.copytree(model_set.folder, tmp_path / "set"))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ModelSetError, match="codecs trained for another encoder"):
        make(write_image_graph(tmp_path / "graph.onnx")).write(folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_is_a_value(tmp_path: Path) -> None:
    encoder = make(tmp_path / "graph.onnx")
    assert dataclasses.replace(encoder, name="other").graph == encoder.graph
