"""A torch image encoder as a model set: one ONNX graph that takes uint8 images.

image (batch, S, S, 3) uint8 -> float -> normalise -> NCHW -> network -> unit L2 norm -> features
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import nn

from engines.backends.runner import load_runner
from engines.models.model_set import ModelSet
from engines.onnx_model import IR_VERSION, OPSET
from semlink.errors import EngineError
from semlink.image import Preprocessing
from trainer.model_set_writer import write_encoder

__all__ = [
    "EncoderNetwork",
    "build_graph_module",
    "check_parity",
    "export_encoder",
    "store_weights_as_fp16",
    "write_encoder_model_set",
]

MIN_PARITY_COSINE = 0.9999
_MIN_FP16_ELEMENTS = 1024
_PARITY_IMAGES = 4


@dataclass(frozen=True)
class EncoderNetwork:
    """An image encoder in torch, with the facts for its manifest.

    Attributes
    ----------
    name : name in the manifest
    network : (batch, 3, size_px, size_px) float32, normalised, to (batch, feature_dim)
    feature_dim : number of features of an image
    size_px : side of its input
    mean, std : of each channel, on the scale 0..255: the network's input is (pixel - mean) / std
    licence, training_data : one line each
    unit_norm : whether the graph ends in L2 normalisation; a model set's encoder does
    interpolation : filter of the resizing in front of the network, "bicubic" or "bilinear"
    """

    name: str
    network: nn.Module
    feature_dim: int
    size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    training_data: str
    unit_norm: bool = True
    interpolation: str = "bicubic"

    def write(self, folder: Path) -> ModelSet:
        """Export, and write a model set without a codec; see `write_encoder_model_set`."""
        return write_encoder_model_set(folder, self)


class _GraphModule(nn.Module):
    """The network with normalisation in front and behind."""

    def __init__(self, encoder: EncoderNetwork) -> None:
        super().__init__()
        self.network, self.unit_norm = encoder.network, encoder.unit_norm
        mean, std = torch.tensor(encoder.mean), torch.tensor(encoder.std)
        self.register_buffer("scale", (1 / std).view(1, 3, 1, 1))
        self.register_buffer("offset", (-mean / std).view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(batch, S, S, 3) uint8 to (batch, feature_dim) float32."""
        # Transposed as bytes, which are a quarter of the floats.
        pixels = image.permute(0, 3, 1, 2).to(torch.float32)
        features = self.network(pixels * self.scale + self.offset)
        return nn.functional.normalize(features, dim=1) if self.unit_norm else features


def build_graph_module(encoder: EncoderNetwork) -> nn.Module:
    """The torch module that is exported, in evaluation mode."""
    return _GraphModule(encoder).eval()


def export_encoder(encoder: EncoderNetwork) -> onnx.ModelProto:
    """Export to ONNX: input `image`, output `features`, the batch axis free.

    Returns
    -------
    model : opset `engines.onnx_model.OPSET`, weights as fp16 with a cast, without paths and dates: the same weights
        give the same bytes

    Raises
    ------
    EngineError
        If the graph's features differ from the network's (cosine below 0.9999).
    """
    module = build_graph_module(encoder)
    # Two images, because the exporter regards an axis of length one as constant.
    example = torch.zeros((2, encoder.size_px, encoder.size_px, 3), dtype=torch.uint8)
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=["image"],
            output_names=["features"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise EngineError(
            f"{encoder.name}: torch.onnx.export returned no program; install the releases of constraints.txt"
        )
    buffer = io.BytesIO()
    program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version = IR_VERSION
    _strip_traces(model)
    store_weights_as_fp16(model)
    onnx.checker.check_model(model)
    check_parity(model, module, name=encoder.name, size_px=encoder.size_px)
    return model


def store_weights_as_fp16(model: onnx.ModelProto) -> None:
    """Store large float32 weights as float16 with a cast to float32 in front of each use, in place.

    A runtime folds the casts when it loads the graph: half the bytes on disk, float32 arithmetic.
    Vectors are not changed: they are small, and variances of a batch normalisation exceed fp16's range.
    """
    graph = model.graph
    kept, stored, casts = [], [], []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        is_large = values.dtype == np.float32 and values.ndim >= 2 and values.size >= _MIN_FP16_ELEMENTS
        if not is_large or np.abs(values).max() > np.finfo(np.float16).max:
            kept.append(tensor)
            continue
        half_name = f"{tensor.name}_fp16"
        stored.append(onnx.numpy_helper.from_array(values.astype(np.float16), half_name))
        casts.append(onnx.helper.make_node("Cast", [half_name], [tensor.name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *stored])
    graph.node.extend(nodes)


def check_parity(model: onnx.ModelProto, module: nn.Module, *, name: str, size_px: int) -> float:
    """Compare graph and torch on seeded noise images.

    Returns
    -------
    cosine : smallest over the images

    Raises
    ------
    EngineError
        If it is below 0.9999.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (_PARITY_IMAGES, size_px, size_px, 3), dtype=np.uint8)
    got = load_runner(model.SerializeToString())(images)
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = float((np.sum(got * expected, axis=1) / norms).min())
    if not cosine >= MIN_PARITY_COSINE:
        raise EngineError(
            f"{name}: exported graph and torch agree to a cosine of {cosine:.6f}, at least 0.9999 expected"
        )
    return cosine


def write_encoder_model_set(folder: Path, encoder: EncoderNetwork) -> ModelSet:
    """Write encoder.onnx and manifest.json, without a codec.

    Raises
    ------
    EngineError
        If the exported graph differs from the network.
    ModelSetError
        If the folder holds codecs that were trained for another encoder, or cannot be written; nothing has changed
        then.
    """
    return write_encoder(
        folder,
        export_encoder(encoder).SerializeToString(deterministic=True),
        name=encoder.name,
        feature_dim=encoder.feature_dim,
        preprocessing=Preprocessing(encoder.size_px, encoder.interpolation),
        licence=encoder.licence,
        training_data=encoder.training_data,
    )


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's messages about its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip_traces(model: onnx.ModelProto) -> None:
    """Remove stack traces: they hold paths of the exporting machine."""
    graph = model.graph
    model.doc_string = graph.doc_string = ""
    for item in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del item.metadata_props[:]
        if not isinstance(item, onnx.ModelProto):
            item.doc_string = ""
