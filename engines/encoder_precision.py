"""A model set's image encoder at a precision: rewritten once, kept beside the set, taken by whoever composes graphs."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import onnx

from engines.backends.target import CPU, DEFAULT_TARGET, Target
from engines.graphs.quantize import Int8Style, Tensor, at_precision, converter_version, int8_style
from engines.models.model_set import ModelSet
from engines.onnx_model import IR_VERSION
from engines.options import Precision
from engines.store import EngineKey, EngineStore
from semlink.cache import cache_folder
from semlink.errors import ConfigError, EngineError

__all__ = ["build_encoder", "default_store", "encoder_graph"]

_CONVERTER = "onnx"
_CALIBRATED = (Int8Style.CALIBRATED, Int8Style.SYMMETRIC)

_log = logging.getLogger(__name__)


def default_store(model_set: ModelSet, folder: Path | None = None) -> EngineStore:
    """Where a model set's engines are kept: beside it, unless a folder is named or the set's cannot be written."""
    if folder is not None:
        return EngineStore(folder)
    if os.access(model_set.folder, os.W_OK):
        return EngineStore(model_set.folder / "engines")
    cached = cache_folder("engines", model_set.encoder_fingerprint[:16])
    _log.info("%s cannot be written; its engines are in %s", model_set.folder, cached)
    return EngineStore(cached)


def build_encoder(
    model_set: ModelSet,
    precision: Precision,
    store: EngineStore,
    *,
    target: Target = DEFAULT_TARGET,
    pictures: Sequence[Tensor] = (),
    rebuild: bool = False,
) -> bytes:
    """Rewrite the encoder's graph, or read what was rewritten before.

    Parameters
    ----------
    target : where it will run; int8 for a GPU is another than for a CPU
    pictures : (size, size, 3) uint8 each, what the link will see; for an int8 that is calibrated
    rebuild : rewrite it even if it is there, such as for other pictures

    Raises
    ------
    ConfigError
        If there are pictures that would not be looked at.
    EngineError
        If the graph cannot be rewritten or kept, or there are too few pictures.
    """
    path = model_set.encoder_path
    style = _style(path, precision, target)
    key = _key(model_set, precision, style)
    if pictures and style not in _CALIBRATED:
        raise ConfigError(f"{precision.value} of {model_set.name} needs no pictures; leave out --calibrate")
    if pictures and not rebuild and store.find(key) is not None:
        raise ConfigError(f"int8 of {model_set.name} is calibrated already; --force calibrates it on these pictures")
    return store.find_or_build(
        key,
        lambda: at_precision(path, precision, style=style or Int8Style.DYNAMIC, pictures=pictures).SerializeToString(),
        rebuild=rebuild,
    )


def encoder_graph(
    model_set: ModelSet, precision: Precision, store: EngineStore, *, target: Target = DEFAULT_TARGET
) -> Path | onnx.ModelProto:
    """The encoder for a composition: the set's own file in fp32, else what was built from it.

    fp16, and an int8 that needs no pictures, are built if need be.

    Raises
    ------
    EngineError
        If it is int8 that is calibrated on pictures, and was not built before.
    """
    if precision is Precision.FP32:
        return model_set.encoder_path
    style = _style(model_set.encoder_path, precision, target)
    if style in _CALIBRATED:
        engine = store.find(_key(model_set, precision, style))
        if engine is None:
            raise EngineError(
                f"int8 of {model_set.name} is calibrated on pictures like those of the link: semlink engine build"
                f" --model-set {model_set.folder} --backend {target.backend} --device {target.device} --precision int8"
                f" --engines {store.folder} --calibrate FOLDER"
            )
    else:
        engine = build_encoder(model_set, precision, store, target=target)
    model = onnx.load_from_string(engine)
    # What the others that it is composed with have.
    model.ir_version, model.graph.name = IR_VERSION, "encoder"
    return model


def _style(path: Path, precision: Precision, target: Target) -> Int8Style | None:
    return int8_style(path, on_gpu=target.device != CPU) if precision is Precision.INT8 else None


def _key(model_set: ModelSet, precision: Precision, style: Int8Style | None) -> EngineKey:
    return EngineKey(
        graph_sha256=model_set.encoder_fingerprint,
        backend=_CONVERTER,
        version=converter_version(),
        device="any",
        precision=precision.value,
        options=style.value if style else "",
    )
