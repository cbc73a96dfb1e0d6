"""Chooses an image encoder's precision from the engines of a store: `semlink tx --precision auto`."""

from __future__ import annotations

from engines.agreement import tolerance
from engines.backends.processor import processor_name
from engines.backends.runner import require_backend
from engines.backends.target import CPU, Target
from engines.encoder_precision import encoder_key
from engines.models.model_set import ModelSet
from engines.options import Precision
from engines.store import EngineStore

__all__ = ["best_precision", "is_fp16_built"]


def best_precision(model_set: ModelSet, store: EngineStore, *, target: Target) -> tuple[Precision, str]:
    """Choose the precision for a target from the engines that were built for it, and give the reason.

    int8 where it was verified on this processor and is faster than fp32 of the same backend, and than fp16 that was
    built on a GPU; else, on a GPU, fp16 where it was built for this backend and version; else fp32.

    Raises
    ------
    EngineError, MissingDependencyError
        If `target` is a GPU that is not there, or its backend cannot be loaded.
    """
    is_gain, reason = _int8_gain(model_set, store, target)
    if is_gain:
        return Precision.INT8, reason
    if target.device != CPU and is_fp16_built(model_set, store, target):
        return Precision.FP16, f"built for {target}; {reason}"
    return Precision.FP32, reason


def is_fp16_built(model_set: ModelSet, store: EngineStore, target: Target) -> bool:
    """Whether fp16 of this encoder was built for a target: its graph, and an engine where the backend builds one.

    Raises
    ------
    EngineError, MissingDependencyError
        If `target` is a GPU that is not there, or its backend cannot be loaded.
    """
    if store.find(encoder_key(model_set, Precision.FP16, target)) is None:
        return False
    if not target.builds:
        return True
    # An engine is of the graph with its codec and rate; which graph that was is known only when it is composed.
    device = processor_name(target.device)
    versions = {
        engine.key.version
        for engine in store.all()
        if (engine.key.backend, engine.key.device, engine.key.precision) == (target.backend, device, Precision.FP16)
    }
    return bool(versions) and require_backend(target) in versions


def _int8_gain(model_set: ModelSet, store: EngineStore, target: Target) -> tuple[bool, str]:
    """Whether there is an int8 that agrees with fp32 and is faster, and why."""
    # Only with an int8 in the store is the graph read, for the style of its int8.
    if not any(engine.key.precision == Precision.INT8 for engine in store.all()):
        return False, "no int8 was built: semlink engine build"
    key, on_gpu = encoder_key(model_set, Precision.INT8, target), target.device != CPU
    found = store.verification(key)
    if found is None:
        return False, f"no int8 was verified on this processor ({key.device}): semlink engine verify"
    if not found.is_within(tolerance(Precision.INT8, on_gpu=on_gpu)):
        return False, "int8 does not agree with fp32 closely enough on this processor"
    if on_gpu and found.fp32_device == "cpu":
        return False, "int8 was timed beside fp32 on the CPU, not on this GPU: semlink engine verify"
    other, its_ms = found.alternative
    times = f"{found.latency_ms:.2f} ms an image, {other.value} {its_ms:.2f} ms"
    if not found.is_faster:
        return False, f"int8 is no gain on this processor: {times}"
    return True, f"verified on this processor: {times}"
