"""The transmitter's data path."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engines.modelset import ModelSet
from engines.runner import GraphRunner, load_runner
from semlink.channel import pilot_symbols
from semlink.errors import ConfigError, EngineError
from semlink.frame import Frame, FrameId, end_of_stream, pack
from semlink.image import LoadedImage, Preprocessing, preprocess
from semlink.iq import CodesFormat, quantize
from semlink.rates import Rate, channel_bandwidth_ratio
from semlink.timing import StageClock

__all__ = ["SentFrame", "Transmitter", "TransmitterModel", "load_transmitter_model"]


@dataclass(frozen=True)
class TransmitterModel:
    """One rate of a model set, ready to run.

    Attributes
    ----------
    graph : (batch, size, size, 3) uint8 to (batch, n, 2) codes: encoder, codec, unit power, quantization
    """

    graph: GraphRunner
    preprocessing: Preprocessing
    rate: Rate
    codes_format: CodesFormat
    fingerprint: bytes


def load_transmitter_model(
    model_set: ModelSet,
    rate: Rate,
    *,
    codes_format: CodesFormat = CodesFormat.SC8,
    backend: str = "auto",
    num_threads: int = 1,
) -> TransmitterModel:
    """Compose and load one rate of a model set.

    Raises
    ------
    ModelSetError, EngineError
        If a file is missing or altered, the set lacks the rate, or the backend cannot run it.
    """
    # onnx takes longer to import than everything else here together, and is needed once.
    from engines.compose import compose_transmitter

    fingerprint = model_set.fingerprint(rate)
    composed = compose_transmitter(model_set.encoder_path, model_set.codec_encoder_path(rate), rate, codes_format)
    graph = load_runner(composed, backend=backend, num_threads=num_threads)
    return TransmitterModel(graph, model_set.manifest.encoder.preprocessing, rate, codes_format, fingerprint)


@dataclass(frozen=True)
class SentFrame:
    """What became of one image: its name on the air, its cost, and where the time went [ms].

    `payload_cbr` counts the symbols that carry the image, `total_cbr` the pilots too.
    """

    frame_id: FrameId
    capture_time_ns: int
    num_bytes: int
    payload_cbr: float
    total_cbr: float
    stage_ms: dict[str, float]


class Transmitter:
    """Turns images into frames and hands them to a sender.

    Parameters
    ----------
    model : the composed graph and what it was made of
    send : takes a packed frame, such as `FrameSender.send`
    num_pilots : known symbols in front of each image's, for a receiver on a fading channel
    clock : collects the stages' times
    """

    def __init__(
        self,
        model: TransmitterModel,
        send: Callable[[bytes], None],
        *,
        num_pilots: int = 0,
        clock: StageClock | None = None,
    ) -> None:
        if num_pilots < 0:
            raise ConfigError(f"num_pilots must not be negative, got {num_pilots}")
        self.stream_id = secrets.randbits(64)
        self.num_sent = 0
        self.clock = clock or StageClock()
        self._model = model
        self._send = send
        self._num_pilots = num_pilots
        self._pilot_codes = quantize(pilot_symbols(num_pilots), model.codes_format)

    def run_once(self, image: LoadedImage, *, capture_time_ns: int | None = None) -> SentFrame:
        """Send one image.

        Parameters
        ----------
        image : pixels, and the size of the picture that they come from
        capture_time_ns : Unix time at which the image was in memory; now, if not given [ns]
        """
        capture_time_ns = time.time_ns() if capture_time_ns is None else capture_time_ns
        with self.clock.stage("preprocess"):
            tensor = preprocess(image.pixels, self._model.preprocessing)
        with self.clock.stage("encode"):
            codes = self._model.graph(tensor[None])[0]
            # Unit power leaves no room for silence: it is what a NaN becomes in the graph.
            if not codes.any():
                raise EngineError("the model gave no signal for a picture, so it is broken; fetch the model set again")
        with self.clock.stage("pack"):
            data = pack(self._frame(codes, image, capture_time_ns))
        frame_id = FrameId(self.stream_id, self.num_sent)
        with self.clock.stage("send"):
            self._send(data)
        self.num_sent += 1
        return self._sent(frame_id, image, capture_time_ns, len(data))

    def end(self) -> None:
        """Tell receivers how many frames this stream had."""
        frame = end_of_stream(self.stream_id, self.num_sent, self._model.fingerprint, self._model.rate, time.time_ns())
        self._send(pack(frame))

    def _frame(self, codes: np.ndarray, image: LoadedImage, capture_time_ns: int) -> Frame:
        return Frame(
            stream_id=self.stream_id,
            sequence=self.num_sent,
            capture_time_ns=capture_time_ns,
            fingerprint=self._model.fingerprint,
            rate=self._model.rate,
            codes=np.concatenate([self._pilot_codes, codes]) if self._num_pilots else codes,
            codes_format=self._model.codes_format,
            num_pilots=self._num_pilots,
            source_height_px=image.source_height_px,
            source_width_px=image.source_width_px,
        )

    def _sent(self, frame_id: FrameId, image: LoadedImage, capture_time_ns: int, num_bytes: int) -> SentFrame:
        num_symbols = self._model.rate.num_symbols
        size_px = {"height_px": image.source_height_px, "width_px": image.source_width_px}
        return SentFrame(
            frame_id=frame_id,
            capture_time_ns=capture_time_ns,
            num_bytes=num_bytes,
            payload_cbr=channel_bandwidth_ratio(num_symbols, **size_px),
            total_cbr=channel_bandwidth_ratio(num_symbols + self._num_pilots, **size_px),
            stage_ms=dict(self.clock.last_ms),
        )
