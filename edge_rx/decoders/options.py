"""How decoders are loaded: threads, GPU, batches, rates, and what reports to transmitters allow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edge_rx.kb.gpu_search import GpuSearch
from engines.backends.runner import BuildProgress
from semlink.rates import RATES, Rate

__all__ = ["DEFAULT_DECODER_OPTIONS", "Building", "DecoderOptions"]

Building: TypeAlias = Callable[[], AbstractContextManager[BuildProgress | None]]
"""Context in which an engine is built, such as `engines.build_progress.build_progress`."""


@dataclass(frozen=True)
class DecoderOptions:
    """Options of all decoders of a receiver.

    Attributes
    ----------
    rates : rates that are served; at each, `nested` holds 8 n bytes a signal, up to the width of its features
    backend : backend of decoder networks, see `edge_rx.decoders.feature.decoder_backend`
    num_threads : CPU threads of a network and of a search
    gpu : GPU that holds vectors and searches; None for the CPU
    batch_size : largest number of frames that are decoded together
    engines : folder of built engines; beside the model set if None
    building : context in which engines are built
    with_high_snr_code : also serve the high-SNR code of `nested`, which doubles its signals; only transmitters that
        receive reports send it
    """

    rates: Sequence[Rate] = RATES
    backend: str = "auto"
    num_threads: int = 1
    gpu: GpuSearch | None = None
    batch_size: int = 1
    engines: Path | None = None
    building: Building = contextlib.nullcontext
    with_high_snr_code: bool = False


DEFAULT_DECODER_OPTIONS = DecoderOptions()
"""All rates, on the CPU, one frame at a time."""
