"""An ONNX graph of an image encoder, and the stages that a model set needs around it.

    image (batch, size, size, 3) uint8 -> [NCHW -> float -> normalise] -> graph -> [unit L2 norm] -> features

Stages in brackets are added if the graph lacks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.parser
import onnx.utils
import onnx.version_converter

from engines.backends.runner import GraphRunner, load_runner
from engines.graphs.compose import compose
from engines.models.image_encoder import Features
from engines.onnx_model import IR_VERSION, OPSET, load_onnx
from semlink.errors import ConfigError, EngineError

__all__ = ["NORM_TOLERANCE", "Channels", "ImageGraph"]

Channels: TypeAlias = tuple[float, float, float]
"""A value for each of red, green and blue."""

NORM_TOLERANCE = 1e-3
"""Largest distance of the features' L2 norm from 1."""

_EXPECTED = "expected one input (batch, 3, size, size) or (batch, size, size, 3), float32 or uint8"
_HEADER = f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>'


@dataclass(frozen=True, eq=False)
class ImageGraph:
    """A file's graph, reduced to one output.

    Attributes
    ----------
    model, runner : the graph, and the graph loaded
    name : name of the file, for messages
    size_px : side of the input
    is_planar : whether the input is (batch, 3, size, size)
    affine : scale and offset of each channel, (2, 3) float32: the input is pixel * scale + offset; None if it is uint8
    """

    model: onnx.ModelProto
    runner: GraphRunner
    name: str
    size_px: int
    is_planar: bool
    affine: npt.NDArray[np.float32] | None

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        output: str | None = None,
        size_px: int | None = None,
        mean: Channels | None = None,
        std: Channels | None = None,
    ) -> ImageGraph:
        """Read a file, and check its operators, its input and the settings.

        Parameters
        ----------
        output : name of the output with the features; None if the graph has only one
        size_px : side of the input, if the graph leaves it free
        mean, std : of each channel, on the scale 0..255, if the input is float32

        Raises
        ------
        ConfigError
            If a setting is missing or does not suit the graph.
        EngineError
            If the file is no ONNX graph, or not one from images.
        """
        name = path.name
        model = _with_one_output(load_onnx(path), output, name)
        domains = sorted({node.domain for node in model.graph.node} - {"", "ai.onnx"})
        if domains:
            raise EngineError(f"{name}: has operators of {', '.join(domains)}; export it with ONNX's own alone")
        try:
            runner = load_runner(model.SerializeToString())
        except EngineError as error:
            reason = str(error).removeprefix("composed graph: ")
            raise EngineError(f"{name}: {reason}; {_EXPECTED}, and features (batch, feature_dim) float32") from None
        spec = runner.input
        if len(spec.shape) != 4 or 3 not in (spec.shape[1], spec.shape[3]) or spec.dtype not in (np.float32, np.uint8):
            raise EngineError(f"{name}: the input is {spec}, {_EXPECTED}")
        is_planar = spec.shape[1] == 3
        height_px, width_px = spec.shape[2:] if is_planar else spec.shape[1:3]
        side_px = _side_px(height_px, width_px, size_px, name)
        is_float = spec.dtype == np.float32
        return cls(model, runner, name, side_px, is_planar, _affine(mean, std, name, is_float=is_float))

    def features(self, images: npt.NDArray[np.uint8]) -> Features:
        """Features by the file's graph, image by image, since its batch axis may be fixed to 1."""
        planes = images.transpose(0, 3, 1, 2) if self.is_planar else images
        if self.affine is not None:
            scale, offset = self._channels(self.affine)
            planes = planes.astype(np.float32) * scale + offset
        rows = [self.runner(np.ascontiguousarray(planes[index : index + 1])) for index in range(len(images))]
        if rows[0].dtype != np.float32 or rows[0].ndim != 2 or len(rows[0]) != 1:
            raise EngineError(
                f"{self.name}: the output for one image is {rows[0].dtype} {rows[0].shape}, expected float32"
                " (1, feature_dim); name another output, or export the graph with pooled features"
            )
        features: Features = np.concatenate(rows)
        if not (np.isfinite(features).all() and np.linalg.norm(features, axis=1).all()):
            raise EngineError(f"{self.name}: the features of a test image are zero or not finite; check mean and std")
        if not np.ptp(features, axis=0).any():
            raise EngineError(f"{self.name}: different test images have the same features; check mean and std")
        return features

    def completed(self, features: Features) -> bytes:
        """Serialise the graph from uint8 images to features of unit norm, with a free batch axis.

        Parameters
        ----------
        features : (num_images, feature_dim) float32, of test images
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), OPSET)
        if opset != OPSET:
            try:
                model = onnx.version_converter.convert_version(model, OPSET)
            except Exception:  # noqa: BLE001  the converter has no error class of its own
                raise EngineError(
                    f"{self.name}: operator set {opset} cannot be converted to {OPSET}; export it with opset {OPSET}"
                ) from None
        model.ir_version, model.graph.name = IR_VERSION, "encoder"
        del model.graph.value_info[:]  # shapes for the batch of the export
        _set_shape(model.graph.input[0], self._input_shape)
        _set_shape(model.graph.output[0], ("batch", features.shape[1]))
        stages = [*self._front(), model]
        if not np.allclose(np.linalg.norm(features, axis=1), 1.0, atol=NORM_TOLERANCE):
            stages.append(_l2_normalisation(features.shape[1]))
        return compose(stages, input_name="image", output_name="features")

    @property
    def _input_shape(self) -> tuple[str | int, ...]:
        return ("batch", 3, *[self.size_px] * 2) if self.is_planar else ("batch", *[self.size_px] * 2, 3)

    def _channels(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(2, 3) values of channels in a shape that broadcasts with two batches of images."""
        return values.reshape((2, 1, 3, 1, 1) if self.is_planar else (2, 1, 1, 1, 3))

    def _front(self) -> list[onnx.ModelProto]:
        """The graph from uint8 images to the file's input; none if the file takes them."""
        nodes = ["planes = Transpose <perm = [0, 3, 1, 2]> (image)"] if self.is_planar else []
        tensor = "planes" if self.is_planar else "image"
        if self.affine is not None:
            nodes += [f"floats = Cast <to = {onnx.TensorProto.FLOAT}> ({tensor})", "scaled = Mul (floats, scale)"]
            nodes += ["pixels = Add (scaled, offset)"]
            tensor = "pixels"
        if not nodes:
            return []
        kind, shape = "uint8" if self.affine is None else "float", ", ".join(map(str, self._input_shape))
        image = f"uint8[batch, {self.size_px}, {self.size_px}, 3] image"
        ends = f"({image}) => ({kind}[{shape}] {tensor})"
        front = onnx.parser.parse_model(f"{_HEADER} front {ends} {{ {' '.join(nodes)} }}")
        if self.affine is not None:
            for name, values in zip(("scale", "offset"), self._channels(self.affine), strict=True):
                front.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        return [front]


def _with_one_output(model: onnx.ModelProto, output: str | None, name: str) -> onnx.ModelProto:
    """The model with the named output alone, and without weights among its inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    names = [value.name for value in model.graph.output]
    if output is None and len(names) > 1:
        raise ConfigError(f"{name}: has {len(names)} outputs; name the one with the features: {', '.join(names)}")
    if output is not None and output not in names:
        raise ConfigError(f'{name}: has no output "{output}"; it has: {", ".join(names)}')
    if len(names) == 1:
        return model
    return onnx.utils.Extractor(model).extract_model([value.name for value in inputs], [str(output)])


def _side_px(height_px: int | None, width_px: int | None, given: int | None, name: str) -> int:
    if height_px is None or width_px is None:
        if given is None:
            raise ConfigError(f"{name}: takes images of any size; give the size that it was trained with")
        return given
    if height_px != width_px:
        raise EngineError(f"{name}: takes images of {width_px} x {height_px} pixels, expected squares")
    if given not in (None, height_px):
        raise ConfigError(f"{name}: takes images of {height_px} x {height_px} pixels, not of {given} x {given}")
    return height_px


def _affine(
    mean: Channels | None, std: Channels | None, name: str, *, is_float: bool
) -> npt.NDArray[np.float32] | None:
    if not is_float:
        if mean is not None or std is not None:
            raise ConfigError(f"{name}: takes uint8 pixels, so that mean and std do not apply; leave them out")
        return None
    if mean is None or std is None:
        raise ConfigError(f"{name}: takes float32; give mean and std of its training")
    centre, spread = np.array(mean), np.array(std)
    with np.errstate(all="ignore"):
        affine = np.array([1 / spread, -centre / spread], dtype=np.float32)
    if not (np.isfinite(affine).all() and (spread > 0).all()):
        raise ConfigError(f"{name}: mean must be finite and std positive, got {mean} and {std}")
    return affine


def _set_shape(value: onnx.ValueInfoProto, shape: tuple[str | int, ...]) -> None:
    tensor = value.type.tensor_type
    value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, tensor.elem_type, shape))


def _l2_normalisation(feature_dim: int) -> onnx.ModelProto:
    """Graph from features of any length to features of unit L2 norm."""
    return onnx.parser.parse_model(
        f"{_HEADER} l2 (float[batch, {feature_dim}] raw) => (float[batch, {feature_dim}] features)"
        "<int64[1] axis = {1}, float floor = {0.000000000001}>"
        "{ length = ReduceL2 <keepdims = 1> (raw, axis) safe = Max (length, floor) features = Div (raw, safe) }"
    )
