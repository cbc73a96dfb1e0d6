"""How decoders are loaded: threads, GPU, batches, rates, and what reports to transmitters allow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from edge_rx.kb.gpu_search import GpuSearch
from engines.backends.runner import BuildProgress
from semlink.errors import ConfigError
from semlink.rates import RATES, Rate

__all__ = ["DEFAULT_DECODER_OPTIONS", "Answer", "Building", "DecoderOptions"]

Answer: TypeAlias = Literal["label", "nearest"]
"""What an answer is chosen by: the most probable label and an entry of it, or the entries alone."""

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
    with_high_snr_code : also serve the high-SNR codes of `nested-cells` and `adapted`, which doubles their signals;
        only transmitters that receive reports send them
    answer : "label" answers with an entry of the most probable label, where entries have labels; "nearest" with the
        entry of the largest expected similarity, whatever its label
    """

    rates: Sequence[Rate] = RATES
    backend: str = "auto"
    num_threads: int = 1
    gpu: GpuSearch | None = None
    batch_size: int = 1
    engines: Path | None = None
    building: Building = contextlib.nullcontext
    with_high_snr_code: bool = False
    answer: Answer = "label"

    def __post_init__(self) -> None:
        if self.answer not in (choices := get_args(Answer)):
            raise ConfigError(f"answer must be one of {', '.join(choices)}, got {self.answer}")


DEFAULT_DECODER_OPTIONS = DecoderOptions()
"""All rates, on the CPU, one frame at a time."""
