"""One end of the link in a process that has run nothing before: the time of its start and of its first image or frame.

`first_image` and `first_frame` start the process, which runs `python -m benchmarks.fresh_process`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from semlink.machine import peak_resident_mb

__all__ = ["FirstCall", "first_frame", "first_image", "median_and_max", "summarize_starts"]


class FirstCall(msgspec.Struct, frozen=True):
    """One process from its start to its first result.

    Attributes
    ----------
    stages_ms : python (start of the interpreter and of this module); imports; load (model set, and the KB); then the
        first image, or frame
    peak_resident_mb : largest resident memory [MB]
    result : number of bytes of the frame, or id of the matched entry
    """

    stages_ms: dict[str, float]
    peak_resident_mb: float
    result: int


def first_image(pixels: Path, num_symbols: int, num_threads: int) -> FirstCall:
    """Start a transmitter of the built-in models and encode one image: an .npy file, (height, width, 3) uint8."""
    return _start("transmitter", str(pixels), str(num_symbols), str(num_threads))


def first_frame(knowledge_base: Path, frame: Path, num_symbols: int) -> FirstCall:
    """Start a receiver of the built-in models that serves one rate, and match one frame: a file of its bytes."""
    return _start("receiver", str(knowledge_base), str(frame), str(num_symbols))


def _start(*arguments: str) -> FirstCall:
    # All processes of a machine share the clock that `time.monotonic_ns` reads.
    command = [sys.executable, "-m", "benchmarks.fresh_process", str(time.monotonic_ns()), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[1])
    return msgspec.json.decode(done.stdout, type=FirstCall)


def summarize_starts(calls: list[FirstCall]) -> dict[str, Any]:
    """Fields of a stage, and its parts, from several processes: median and maximum, of too few for percentiles."""
    parts = {part: [call.stages_ms[part] for call in calls] for part in calls[0].stages_ms}
    return {
        **median_and_max([sum(call.stages_ms.values()) for call in calls]),
        "parts": {part: median_and_max(values) for part, values in parts.items()},
        "memory_mb": {"peak resident": max(call.peak_resident_mb for call in calls)},
    }


def median_and_max(values_ms: list[float]) -> dict[str, Any]:
    """Fields of a stage of which there are too few samples for percentiles."""
    return {"num_samples": len(values_ms), "p50_ms": float(np.median(values_ms)), "max_ms": max(values_ms)}


class _Laps:
    """Milliseconds from one lap to the next; the first lap starts at a time that another process noted."""

    def __init__(self, start_ns: int) -> None:
        self._last_ns = start_ns
        self.stages_ms: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now_ns = time.monotonic_ns()
        self.stages_ms[name] = (now_ns - self._last_ns) / 1e6
        self._last_ns = now_ns


def _transmitter(laps: _Laps, pixels: str, num_symbols: str, num_threads: str) -> int:
    image = np.load(pixels)
    from edge_tx.model import load_transmitter_model
    from edge_tx.pipeline import Transmitter
    from engines.models.model_set import ModelSet
    from engines.options import EngineOptions
    from semlink.image import LoadedImage
    from semlink.rates import parse_rate

    laps.lap("imports")
    rate = parse_rate(num_symbols)
    sent: list[bytes] = []
    options = EngineOptions(backend="onnxruntime", device="cpu", num_threads=int(num_threads))
    model = load_transmitter_model(ModelSet.find("builtin"), rate, options)
    transmitter = Transmitter(model, rate, sent.append)
    laps.lap("load")
    transmitter.run_once(LoadedImage(image, *image.shape[:2]))
    laps.lap("first image")
    return len(sent[0])


def _receiver(laps: _Laps, knowledge_base: str, frame: str, num_symbols: str) -> int:
    data = Path(frame).read_bytes()
    from edge_rx.decoders.options import DecoderOptions
    from edge_rx.decoders.registry import Decoders
    from edge_rx.kb import KnowledgeBase
    from edge_rx.pipeline import Receiver
    from engines.models.model_set import ModelSet
    from semlink.rates import parse_rate

    laps.lap("imports")
    models = ModelSet.find("builtin")
    with KnowledgeBase.open(Path(knowledge_base), models.encoder_fingerprint) as kb:
        options = DecoderOptions(rates=[parse_rate(num_symbols)], backend="onnxruntime")
        receiver = Receiver(Decoders.of(models, kb, options), kb)
        laps.lap("load")
        match = receiver.run_once(data)
        laps.lap("first frame")
    if match is None:
        sys.exit(f"the first frame was dropped: {dict(receiver.rejected)}")
    return match.entry_id


def _main() -> None:
    start_ns, end, *arguments = sys.argv[1:]
    laps = _Laps(int(start_ns))
    laps.lap("python")
    result = {"transmitter": _transmitter, "receiver": _receiver}[end](laps, *arguments)
    sys.stdout.buffer.write(msgspec.json.encode(FirstCall(laps.stages_ms, peak_resident_mb(), result)))


if __name__ == "__main__":
    _main()
