"""From a torch image encoder to a model set: one ONNX graph that takes uint8 pictures.

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
from engines.models.manifest import EncoderEntry
from engines.models.model_set import ModelSet
from engines.onnx_model import IR_VERSION, OPSET
from semlink.errors import EngineError, ModelSetError
from semlink.files import replaced_file
from semlink.image import Preprocessing
from trainer.model_set_writer import kept_codecs, model_file, set_encoder

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
    """An image encoder in torch, and what its manifest will say.

    Attributes
    ----------
    name : what the manifest calls it
    network : (batch, 3, size_px, size_px) float32, normalised, to (batch, feature_dim)
    feature_dim : numbers that it gives for an image
    size_px : side of its input
    mean, std : of each channel, on the scale 0..255: the network's input is (pixel - mean) / std
    licence, training_data : one line each
    unit_norm : whether the graph ends in L2 normalisation; only an intermediate has none
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


class _GraphModule(nn.Module):
    """The network between the graph's two ends."""

    def __init__(self, encoder: EncoderNetwork) -> None:
        super().__init__()
        self.network, self.unit_norm = encoder.network, encoder.unit_norm
        mean, std = torch.tensor(encoder.mean), torch.tensor(encoder.std)
        self.register_buffer("scale", (1 / std).view(1, 3, 1, 1))
        self.register_buffer("offset", (-mean / std).view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(batch, S, S, 3) uint8 to (batch, feature_dim) float32."""
        # Transposing bytes moves a quarter of what transposing floats would.
        pixels = image.permute(0, 3, 1, 2).to(torch.float32)
        features = self.network(pixels * self.scale + self.offset)
        return nn.functional.normalize(features, dim=1) if self.unit_norm else features


def build_graph_module(encoder: EncoderNetwork) -> nn.Module:
    """What the exported graph computes, in torch and in evaluation mode."""
    return _GraphModule(encoder).eval()


def export_encoder(encoder: EncoderNetwork) -> onnx.ModelProto:
    """Export to ONNX: input `image`, output `features`, the batch axis free.

    Returns
    -------
    model : opset `engines.graphs.compose.OPSET`, weights as fp16 behind a cast, nothing in it that tells
        where or when it was made: the same weights give the same bytes

    Raises
    ------
    EngineError
        If the graph's features are not the network's (cosine below 0.9999).
    """
    module = build_graph_module(encoder)
    # Two images, since the exporter takes an axis of length one for a constant.
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
        raise EngineError(f"{encoder.name}: torch.onnx.export gave no program")
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
    """Keep large float32 weights as float16 and cast them to float32 in front of their use, in place.

    A runtime folds the casts when it loads the graph: half the bytes on disk, float32 arithmetic.
    Vectors stay as they are: they are small, and variances of a batch normalisation leave fp16's range.
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
    """Compare graph and torch on seeded noise pictures.

    Returns
    -------
    cosine : smallest over the pictures

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
        If the export is not what torch computes.
    ModelSetError
        If the folder's manifest holds codecs for another encoder, or the folder cannot be written;
        nothing has changed then.
    """
    model = export_encoder(encoder)
    path = folder / "encoder.onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replaced_file(path, durable=True) as temporary:
            temporary.write_bytes(model.SerializeToString(deterministic=True))
            kept_codecs(folder, model_file(temporary))
    except OSError as error:
        raise ModelSetError(
            f"{path}: cannot be written: {error.strerror or error}; make room or give another folder"
        ) from None
    # Last, so that no manifest vouches for a graph that is not there.
    entry = EncoderEntry(
        name=encoder.name,
        graph=model_file(path),
        feature_dim=encoder.feature_dim,
        preprocessing=Preprocessing(size_px=encoder.size_px),
        licence=encoder.licence,
        training_data=encoder.training_data,
    )
    set_encoder(folder, entry)
    return ModelSet(folder)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's notes about its own internals from a user who can do nothing about them."""
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
    """Remove stack traces: they hold paths of the machine that made the graph."""
    graph = model.graph
    model.doc_string = graph.doc_string = ""
    for item in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del item.metadata_props[:]
        if not isinstance(item, onnx.ModelProto):
            item.doc_string = ""
