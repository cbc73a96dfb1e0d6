"""A small model set, made in the test: real ONNX graphs, no training, the same for the same arguments."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.models.codebook import Codebook
from engines.models.manifest import (
    MANIFEST_FORMAT,
    CodecEntry,
    CodecRateEntry,
    EncoderEntry,
    Manifest,
    ModelFile,
    NestedCodecEntry,
    PerRateCodecEntry,
    ProjectionEntry,
)
from engines.models.model_set import ModelSet
from engines.models.projection_head import save_proxies
from engines.onnx_model import IR_VERSION, OPSET
from semlink.files import file_sha256
from semlink.image import Preprocessing
from tests.support.vectors import unit


def make_model_set(
    folder: Path,
    rates: Iterable[int] = (64,),
    size_px: int = 8,
    feature_dim: int = 16,
    seed: int = 0,
    name: str = "synthetic",
    *,
    nested: bool = False,
    sends_codeword: bool = False,
    categories: Iterable[str] = (),
    convolutional: bool = False,
) -> ModelSet:
    """Write a model set whose manifest holds and whose graphs run.

    The encoder is a random projection of the pixels onto the unit sphere. Each codec is a random
    orthogonal map and its transpose, so that decoding undoes encoding, up to the scale that unit
    power takes, where the latent has at least `feature_dim` reals, and projects where it has fewer.

    Parameters
    ----------
    rates : numbers of symbols, rows of `semlink.rates.RATES`; none makes a set without a codec
    seed : another seed, another encoder and codec: other fingerprints
    nested : also a codec `nested`, of random directions, and a codec `nested-cells`, of random cells and directions
    sends_codeword : whether `nested-cells` sends every picture as its cell's codeword with an analog part, or none
    categories : if any, also a codec `nested-labels`, whose projection head is linear
    convolutional : two layers of random convolutions in front of the encoder's projection; `size_px` is a multiple of 4
    """
    rng = np.random.default_rng(seed)
    make_encoder = _convolutional_encoder if convolutional else _encoder
    folder.mkdir(parents=True, exist_ok=True)
    encoder = EncoderEntry(
        name=f"{name}-encoder-{seed}",
        graph=_save(make_encoder(size_px, feature_dim, rng), folder / "encoder.onnx"),
        feature_dim=feature_dim,
        preprocessing=Preprocessing(size_px=size_px),
        licence="CC0-1.0",
        training_data="none: random numbers",
    )
    entries = []
    for num_symbols in rates:
        to_latent = _orthogonal(feature_dim, 2 * num_symbols, rng)
        entries.append(
            CodecRateEntry(
                num_symbols=num_symbols,
                encoder=_save(_linear("features", "latent", to_latent), folder / f"codec-{num_symbols}.encoder.onnx"),
                decoder=_save(_linear("latent", "query", to_latent.T), folder / f"codec-{num_symbols}.decoder.onnx"),
            )
        )
    made: dict[str, Any] = {"licence": "CC0-1.0", "training_data": "none: random numbers"}
    codecs: list[CodecEntry] = [PerRateCodecEntry(name=f"{name}-codec", rates=entries, **made)] if entries else []
    if nested:
        cells = make_codebook(feature_dim, rng, sends_codeword=sends_codeword)
        alone = Codebook.without_cells(cells.mean, cells.projection, analog_scale=cells.analog_scale)
        for codec, code in (("nested", alone), ("nested-cells", cells)):
            codebook = _save_bytes(code.to_bytes(), folder / f"{codec}.codebook.npz")
            codecs.append(NestedCodecEntry(name=codec, codebook=codebook, **made))
    if categories:
        codecs.append(_keyed_codec(folder, feature_dim, tuple(categories), rng, made))
    manifest = Manifest(MANIFEST_FORMAT, name, "2026-01-01", encoder, codecs)
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return ModelSet(folder)


def make_codebook(
    dim: int,
    rng: np.random.Generator,
    *,
    num_cells: int = 6,
    high_snr_digital_power_share: float = 0.4,
    sends_codeword: bool = False,
) -> Codebook:
    """A codebook that sends every direction's codeword, or none and every image as its analog part."""
    centroids = rng.standard_normal((num_cells, dim))
    return Codebook(
        mean=np.zeros(dim, np.float32),
        projection=_orthogonal(dim, dim, rng),
        centroids=unit(centroids),
        codewords=rng.choice(np.array([-1, 1], np.int8), (num_cells, dim)),
        cell_shares=np.full(num_cells, 1 / num_cells, np.float32),
        energy_score_threshold=-1e3 if sends_codeword else 1e3,
        digital_power_share=0.7,
        high_snr_digital_power_share=high_snr_digital_power_share,
        analog_scale=dim**0.5,
    )


def _keyed_codec(
    folder: Path, feature_dim: int, categories: tuple[str, ...], rng: np.random.Generator, made: dict[str, Any]
) -> NestedCodecEntry:
    projection_dim = feature_dim
    network = _linear("features", "key", _orthogonal(feature_dim, projection_dim, rng))
    proxies = _orthogonal(max(len(categories), projection_dim), projection_dim, rng)[: len(categories)]
    keys = ProjectionEntry(
        network=_save(network, folder / "nested-labels.keys.onnx"),
        proxies=_save_bytes(save_proxies(categories, proxies), folder / "nested-labels.proxies.npz"),
        projection_dim=projection_dim,
    )
    codebook = _save_bytes(
        make_codebook(projection_dim, rng, high_snr_digital_power_share=0.7).to_bytes(),
        folder / "nested-labels.codebook.npz",
    )
    return NestedCodecEntry(name="nested-labels", codebook=codebook, projection=keys, **made)


def _orthogonal(num_rows: int, num_columns: int, rng: np.random.Generator) -> np.ndarray:
    """(num_rows, num_columns) float32 whose shorter side's vectors are orthonormal."""
    long, short = max(num_rows, num_columns), min(num_rows, num_columns)
    basis = np.linalg.qr(rng.standard_normal((long, short)))[0]
    return np.ascontiguousarray(basis if num_rows == long else basis.T, dtype=np.float32)


def _encoder(size_px: int, feature_dim: int, rng: np.random.Generator) -> onnx.ModelProto:
    num_reals = size_px * size_px * 3
    weight = rng.standard_normal((num_reals, feature_dim)).astype(np.float32) / np.sqrt(num_reals)
    # Without it a picture of the middle grey would have no direction.
    bias = rng.standard_normal(feature_dim).astype(np.float32) * 0.01
    constants = {
        "flat": np.array([-1, num_reals], np.int64),
        "middle": np.float32(127.0),
        "scale": np.float32(128.0),
        "weight": weight.astype(np.float32),
        "bias": bias,
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "flat"], ["vector"]),
        helper.make_node("Sub", ["vector", "middle"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["normal"]),
        helper.make_node("MatMul", ["normal", "weight"], ["projected"]),
        helper.make_node("Add", ["projected", "bias"], ["raw"]),
    ]
    return _image_encoder(nodes, constants, size_px, feature_dim)


def _convolutional_encoder(size_px: int, feature_dim: int, rng: np.random.Generator) -> onnx.ModelProto:
    num_reals = 16 * (size_px // 4) ** 2
    constants = {
        "middle": np.float32(127.0),
        "scale": np.float32(128.0),
        "filters_1": (rng.standard_normal((8, 3, 3, 3)) / 27**0.5).astype(np.float32),
        "filters_2": (rng.standard_normal((16, 8, 3, 3)) / 72**0.5).astype(np.float32),
        "weight": (rng.standard_normal((num_reals, feature_dim)) / num_reals**0.5).astype(np.float32),
    }
    halve: dict[str, Any] = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["channels", "middle"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["normal"]),
        helper.make_node("Conv", ["normal", "filters_1"], ["maps_1"], **halve),
        helper.make_node("Relu", ["maps_1"], ["active_1"]),
        helper.make_node("Conv", ["active_1", "filters_2"], ["maps_2"], **halve),
        helper.make_node("Relu", ["maps_2"], ["active_2"]),
        helper.make_node("Flatten", ["active_2"], ["vector"]),
        helper.make_node("MatMul", ["vector", "weight"], ["raw"]),
    ]
    return _image_encoder(nodes, constants, size_px, feature_dim)


def _image_encoder(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], size_px: int, feature_dim: int
) -> onnx.ModelProto:
    """A graph from images to the nodes' output "raw", scaled to unit length."""
    unit_length = [
        helper.make_node("ReduceL2", ["raw", "one_image"], ["length"], keepdims=1),
        helper.make_node("Div", ["raw", "length"], ["features"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size_px, size_px, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", feature_dim])
    constants = {**constants, "one_image": np.array([1], np.int64)}
    return _model("encoder", [*nodes, *unit_length], image, features, constants)


def _linear(takes: str, gives: str, weight: np.ndarray) -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", [takes, "weight"], [gives])]
    inputs, outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", dim])
        for name, dim in zip((takes, gives), weight.shape, strict=True)
    )
    return _model(f"{takes}_to_{gives}", nodes, inputs, outputs, {"weight": np.ascontiguousarray(weight)})


def _model(
    name: str,
    nodes: list[onnx.NodeProto],
    takes: onnx.ValueInfoProto,
    gives: onnx.ValueInfoProto,
    constants: dict[str, np.ndarray],
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, [takes], [gives], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _save(model: onnx.ModelProto, path: Path) -> ModelFile:
    return _save_bytes(model.SerializeToString(), path)


def _save_bytes(data: bytes, path: Path) -> ModelFile:
    path.write_bytes(data)
    return ModelFile(path.name, file_sha256(path))
