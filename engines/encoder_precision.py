"""A model set's image encoder at a precision: its graph is rewritten once, stored, and read to compose graphs."""

from __future__ import annotations

import functools
import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import onnx

from engines.agreement import tolerance
from engines.backends.processor import processor_name
from engines.backends.target import CPU, DEFAULT_TARGET, Target, missing_for_tensorrt
from engines.graphs.quantize import (
    LEAST_PICTURES,
    Int8Style,
    Tensor,
    at_precision,
    converter_version,
    int8_style,
)
from engines.models.model_set import BUILTIN_MODEL_SETS, ModelSet
from engines.onnx_model import IR_VERSION
from engines.options import Precision
from engines.store import EngineKey, EngineStore
from semlink.cache import cache_folder
from semlink.errors import ConfigError, EngineError

__all__ = [
    "build_encoder",
    "default_store",
    "encoder_graph",
    "encoder_key",
    "require_verified",
    "split_images",
]

_CONVERTER = "onnx"
_CALIBRATED = (Int8Style.CALIBRATED, Int8Style.SYMMETRIC)
_VERIFY_EVERY = 5

_log = logging.getLogger(__name__)


def default_store(model_set: ModelSet, folder: Path | None = None) -> EngineStore:
    """Store of a model set's engines: beside the set, unless a folder is named or the set's cannot be written."""
    if folder is not None:
        return EngineStore(folder)
    if os.access(model_set.folder, os.W_OK):
        return EngineStore(model_set.folder / "engines")
    cached = cache_folder("engines", model_set.encoder_fingerprint[:16])
    _log.info("%s cannot be written; its engines are in %s", model_set.folder, cached)
    return EngineStore(cached)


def split_images(images: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Split images of a link: those that int8 is calibrated on, and others that it is verified on, every fifth.

    Raises
    ------
    EngineError
        If there are too few.
    """
    least = LEAST_PICTURES * _VERIFY_EVERY // (_VERIFY_EVERY - 1)
    if len(images) < least:
        raise EngineError(
            f"int8 is calibrated and verified on at least {least} images, got {len(images)}; name a folder of images"
            " like those of the link with --calibrate"
        )
    held_out = range(_VERIFY_EVERY - 1, len(images), _VERIFY_EVERY)
    return [images[row] for row in range(len(images)) if row not in held_out], [images[row] for row in held_out]


def build_encoder(
    model_set: ModelSet,
    precision: Precision,
    store: EngineStore,
    *,
    target: Target = DEFAULT_TARGET,
    pictures: Sequence[Tensor] = (),
    rebuild: bool = False,
) -> bytes:
    """Rewrite the encoder's graph, or read the rewritten graph from the store.

    Parameters
    ----------
    target : backend and device that will run the encoder; int8 for a GPU is another graph than for a CPU
    pictures : (size, size, 3) uint8 each, like the images of the link; an int8 that is calibrated needs them
    rebuild : rewrite the graph even if the store has it, such as for other pictures

    Raises
    ------
    ConfigError
        If there are pictures that the precision does not need, or that the stored int8 was not calibrated on.
    EngineError
        If the graph cannot be rewritten or kept, or there are too few pictures.
    """
    key = encoder_key(model_set, precision, target)
    if pictures and precision is not Precision.INT8:
        raise ConfigError(f"{precision.value} of {model_set.name} needs no pictures; leave out --calibrate")
    path, style = model_set.encoder_path, _style(model_set, precision, target)
    if pictures and style in _CALIBRATED and not rebuild and store.find(key) is not None:
        raise ConfigError(f"int8 of {model_set.name} is calibrated already; --force calibrates it on these pictures")
    return store.find_or_build(
        key,
        lambda: at_precision(path, precision, style=style or Int8Style.DYNAMIC, pictures=pictures).SerializeToString(),
        rebuild=rebuild,
    )


def encoder_graph(
    model_set: ModelSet, precision: Precision, store: EngineStore, *, target: Target = DEFAULT_TARGET
) -> Path | onnx.ModelProto:
    """The encoder for a composition: the set's own file in fp32, else the graph that was rewritten from it.

    fp16, and an int8 that needs no pictures, are rewritten here if the store lacks them.

    Raises
    ------
    EngineError
        If the precision is an int8 that is calibrated on pictures, and the store lacks it.
    """
    if precision is Precision.FP32:
        return model_set.encoder_path
    if _style(model_set, precision, target) in _CALIBRATED:
        engine = store.find(encoder_key(model_set, precision, target))
        if engine is None:
            raise _not_built(model_set, store, target)
    else:
        engine = build_encoder(model_set, precision, store, target=target)
    model = onnx.load_from_string(engine)
    # As the graphs that follow it have.
    model.ir_version, model.graph.name = IR_VERSION, "encoder"
    return model


def require_verified(
    model_set: ModelSet, precision: Precision, store: EngineStore, *, target: Target = DEFAULT_TARGET
) -> None:
    """Refuse an int8 encoder that was not shown to agree with fp32 on this processor.

    Raises
    ------
    EngineError
        If it was not built or not verified on this processor, or did not agree closely enough.
    """
    if precision is not Precision.INT8:
        return
    key, on_gpu = encoder_key(model_set, precision, target), target.device != CPU
    stored = store.sidecar(key)
    if stored is None:
        raise _not_built(model_set, store, target)
    found = stored.verification
    if found is None:
        raise EngineError(
            f"int8 of {model_set.name} was not verified on this processor ({key.device}): semlink engine verify FOLDER"
            f" --precision int8{_options(model_set, store, target)}"
        )
    if not found.is_within(tolerance(precision, on_gpu=on_gpu)):
        raise EngineError(f"int8 of {model_set.name} on {key.device}: {found.shortfall(precision, on_gpu=on_gpu)}")


def encoder_key(model_set: ModelSet, precision: Precision, target: Target) -> EngineKey:
    """Key of an encoder that was rewritten in a precision; int8 is for one processor, on which it is verified.

    Raises
    ------
    EngineError
        If `target` is a GPU that is not there.
    """
    style = _style(model_set, precision, target)
    options = style.value if style else ""
    return EngineKey(
        graph_sha256=model_set.encoder_fingerprint,
        backend=_CONVERTER,
        version=converter_version(),
        device=processor_name(target.device) if style else "any",
        precision=precision.value,
        # On a GPU backends differ in their arithmetic, and each is verified by itself.
        options=options if target.device == CPU or not style else f"{options} for {target.backend}",
    )


def _style(model_set: ModelSet, precision: Precision, target: Target) -> Int8Style | None:
    if precision is not Precision.INT8:
        return None
    return _int8_style(model_set.encoder_path, model_set.encoder_fingerprint, on_gpu=target.device != CPU)


@functools.lru_cache(maxsize=16)
def _int8_style(path: Path, sha256: str, *, on_gpu: bool) -> Int8Style:
    """Style of a graph's int8, by path and SHA-256: one start needs it several times, and parses the graph once."""
    return int8_style(path, on_gpu=on_gpu)


def _not_built(model_set: ModelSet, store: EngineStore, target: Target) -> EngineError:
    return EngineError(
        f"int8 of {model_set.name} was not built for this processor ({processor_name(target.device)}): semlink engine"
        f" build --precision int8 --calibrate FOLDER{_options(model_set, store, target)}"
    )


def _options(model_set: ModelSet, store: EngineStore, target: Target) -> str:
    """Options of `semlink engine` that name this model set, store and target, unless its defaults do."""
    options = ""
    if model_set.folder != BUILTIN_MODEL_SETS / "builtin":
        is_builtin = model_set.folder.parent == BUILTIN_MODEL_SETS
        options += f" --model-set {shlex.quote(model_set.folder.name if is_builtin else str(model_set.folder))}"
    # Where TensorRT is installed, "auto" may select it.
    if target != DEFAULT_TARGET or not missing_for_tensorrt():
        options += f" --backend {target.backend} --device {target.device}"
    if store.folder != default_store(model_set).folder:
        options += f" --engines {shlex.quote(str(store.folder))}"
    return options
