"""The transmitter's data path."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_tx.model import TransmitterModel
from semlink.channel import pilot_symbols
from semlink.constellation import Constellation
from semlink.errors import ConfigError
from semlink.frame import Frame, FrameId, end_of_stream, pack
from semlink.image import LoadedImage, preprocess
from semlink.iq import IQCodes, dequantize, quantize
from semlink.rates import Rate, channel_bandwidth_ratio
from semlink.timing import StageClock

__all__ = ["SentFrame", "Transmitter", "require_usable_pilots"]


@dataclass(frozen=True)
class SentFrame:
    """What became of one image: its name on the air, its cost, and where the time went [ms].

    `payload_cbr` counts the symbols that carry the image, `total_cbr` the pilots too.
    """

    frame_id: FrameId
    codec: str
    num_symbols: int
    capture_time_ns: int
    num_bytes: int
    payload_cbr: float
    total_cbr: float
    stage_ms: dict[str, float]


def require_usable_pilots(num_pilots: int, model: TransmitterModel) -> None:
    """ConfigError unless a receiver of `model` can do with so many pilots."""
    if num_pilots < 0:
        raise ConfigError(f"num_pilots must not be negative, got {num_pilots}")
    if num_pilots == 1 and model.weighs_noise:
        raise ConfigError(f"one pilot cannot tell gain and noise apart; with {model.codec} send none, or at least 2")


class Transmitter:
    """Turns images into frames and hands them to a sender.

    Parameters
    ----------
    model, rate : what the next image is sent with; both may be changed between two images
    send : takes a packed frame, such as `FrameSender.send`
    constellation : points that a digital radio has; None sends what the model gives
    num_pilots : known symbols in front of each image's, for a receiver on a fading channel
    clock : collects the stages' times
    """

    def __init__(
        self,
        model: TransmitterModel,
        rate: Rate,
        send: Callable[[bytes], None],
        *,
        num_pilots: int = 0,
        constellation: Constellation | None = None,
        clock: StageClock | None = None,
    ) -> None:
        require_usable_pilots(num_pilots, model)
        self.stream_id = secrets.randbits(64)
        self.num_sent = 0
        self.sent_by_codec: Counter[str] = Counter()
        self.sent_by_num_symbols: Counter[int] = Counter()
        self.clock = clock or StageClock()
        self.model = model
        self.rate = rate
        self._send = send
        self.num_pilots = num_pilots
        self._constellation = constellation
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
            tensor = preprocess(image.pixels, self.model.preprocessing)
        with self.clock.stage("encode"):
            codes = self._on_points(self.model.codes(tensor, self.rate))
        with self.clock.stage("pack"):
            data = pack(self._frame(codes, image, capture_time_ns))
        frame_id = FrameId(self.stream_id, self.num_sent)
        with self.clock.stage("send"):
            self._send(data)
        self.num_sent += 1
        self.sent_by_codec[self.model.codec] += 1
        self.sent_by_num_symbols[self.rate.num_symbols] += 1
        return self._sent(frame_id, image, capture_time_ns, len(data))

    def _on_points(self, codes: IQCodes) -> IQCodes:
        if self._constellation is None:
            return codes
        codes_format = self.model.codes_format
        return quantize(self._constellation.nearest(dequantize(codes, codes_format)), codes_format)

    def end(self) -> None:
        """Tell receivers how many frames this stream had."""
        frame = end_of_stream(
            self.stream_id, self.num_sent, self.model.fingerprints[self.rate], self.rate, time.time_ns()
        )
        self._send(pack(frame))

    def _frame(self, codes: IQCodes, image: LoadedImage, capture_time_ns: int) -> Frame:
        return Frame(
            stream_id=self.stream_id,
            sequence=self.num_sent,
            capture_time_ns=capture_time_ns,
            fingerprint=self.model.fingerprints[self.rate],
            rate=self.rate,
            codes=np.concatenate([self._pilot_codes, codes]) if self.num_pilots else codes,
            codes_format=self.model.codes_format,
            num_pilots=self.num_pilots,
            source_height_px=image.source_height_px,
            source_width_px=image.source_width_px,
        )

    def _sent(self, frame_id: FrameId, image: LoadedImage, capture_time_ns: int, num_bytes: int) -> SentFrame:
        num_symbols = self.rate.num_symbols
        size_px = {"height_px": image.source_height_px, "width_px": image.source_width_px}
        return SentFrame(
            frame_id=frame_id,
            codec=self.model.codec,
            num_symbols=num_symbols,
            capture_time_ns=capture_time_ns,
            num_bytes=num_bytes,
            payload_cbr=channel_bandwidth_ratio(num_symbols, **size_px),
            total_cbr=channel_bandwidth_ratio(num_symbols + self.num_pilots, **size_px),
            stage_ms=dict(self.clock.last_ms),
        )
