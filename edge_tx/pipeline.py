"""The transmitter's data path.

image --preprocess--> tensor --encode--> codes --pack--> frame --send-->
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_tx.model import TransmitterModel, load_codebook, load_transmitter_model
from engines.models.model_set import ModelSet
from engines.options import DEFAULT_OPTIONS, EngineOptions
from semlink.channel import pilot_symbols
from semlink.constellation import Constellation
from semlink.errors import ConfigError
from semlink.frame import Frame, FrameId, end_of_stream, pack
from semlink.image import LoadedImage, RGBImage, preprocess, read_image
from semlink.iq import IQCodes, dequantize, quantize
from semlink.rates import Rate, channel_bandwidth_ratio, parse_rate
from semlink.timing import StageClock

__all__ = ["Plan", "SentFrame", "Transmitter", "check_pilots"]


class Plan(NamedTuple):
    """The model and the rate that an image is sent with."""

    model: TransmitterModel
    rate: Rate


@dataclass(frozen=True)
class SentFrame:
    """Identity, cost and stage times of a sent image [ms].

    `payload_cbr` counts the image's symbols, `total_cbr` the pilots too.
    """

    frame_id: FrameId
    codec: str
    num_symbols: int
    capture_time_ns: int
    num_bytes: int
    payload_cbr: float
    total_cbr: float
    stage_ms: dict[str, float]


def check_pilots(num_pilots: int, model: TransmitterModel) -> None:
    """ConfigError unless the receiver of `model` works with this number of pilots."""
    if num_pilots < 0:
        raise ConfigError(f"pilots must be 0 or more, got {num_pilots}")
    if num_pilots == 1 and model.weighs_noise:
        raise ConfigError(f"one pilot cannot separate gain and noise; with {model.codec} send none, or at least 2")


class Transmitter:
    """Turns images into frames and hands them to a sender.

    Parameters
    ----------
    model, rate : plan of images that are sent without one of their own
    send : sends a packed frame, such as `FrameSender.send`; None for `encode`, which returns it
    constellation : points of a digital radio; None sends the model's own
    num_pilots : pilot symbols before each image's symbols, for receivers on fading channels
    clock : collects the stages' times

    Attributes
    ----------
    num_sent, sent_by_codec, sent_by_num_symbols : sent images in total, by codec, and by symbols of an image
    """

    def __init__(
        self,
        model: TransmitterModel,
        rate: Rate,
        send: Callable[[bytes], None] | None = None,
        *,
        num_pilots: int = 0,
        constellation: Constellation | None = None,
        clock: StageClock | None = None,
    ) -> None:
        check_pilots(num_pilots, model)
        self.stream_id = secrets.randbits(64)
        self.num_sent = 0
        self.sent_by_codec: Counter[str] = Counter()
        self.sent_by_num_symbols: Counter[int] = Counter()
        self.clock = clock or StageClock()
        self.num_pilots = num_pilots
        self._plan = Plan(model, rate)
        self._send, self._constellation = send, constellation
        self._codes_format = model.codes_format
        self._pilot_codes = quantize(pilot_symbols(num_pilots), model.codes_format)

    @property
    def plan(self) -> Plan:
        """Plan of the last image, or the initial one."""
        return self._plan

    @classmethod
    def open(
        cls,
        model_set: str = "builtin",
        *,
        rate: str | int = "1/48",
        codec: str | None = None,
        codebook: Path | str | None = None,
        num_pilots: int = 0,
        options: EngineOptions = DEFAULT_OPTIONS,
    ) -> Transmitter:
        """Load a model set's encoder and codec, for `encode`.

        Parameters
        ----------
        model_set : name of a built-in model set, or a folder
        rate : symbols of an image, or their CBR for 32 x 32 pixels, such as "1/48"
        codec : codec of the set; its first by default
        codebook : file of a knowledge base's codebook, for `adapted` in place of a codec of the set
        options : backend, device, precision and threads of the image encoder

        Raises
        ------
        ConfigError, ModelSetError, EngineError
            If the rate or the codec is unknown, both a codec and a codebook are named, the set or the codebook is
            missing or damaged, they are for different image encoders, or the options cannot be had here.
        """
        if codec is not None and codebook is not None:
            raise ConfigError(f"a codebook is sent with adapted, and not with {codec}: name a codec or a codebook")
        parsed, models = parse_rate(str(rate)), ModelSet.find(model_set)
        chosen = codec if codebook is None else load_codebook(Path(codebook), models)
        model = load_transmitter_model(models, parsed, options, codec=chosen)
        return cls(model, parsed, num_pilots=num_pilots)

    def run_once(
        self, image: LoadedImage, plan: Plan | None = None, *, capture_time_ns: int | None = None
    ) -> SentFrame:
        """Send one image.

        Parameters
        ----------
        image : pixels, and the size of the original image
        plan : model and rate; those of the last image by default
        capture_time_ns : Unix time at which the image was in memory; now by default [ns]
        """
        if self._send is None:
            raise ConfigError("this transmitter has no sender: use encode, which returns the frame's bytes")
        model, rate = self._plan = self._usable(plan or self._plan)
        capture_time_ns = time.time_ns() if capture_time_ns is None else capture_time_ns
        with self.clock.stage("preprocess"):
            tensor = preprocess(image.pixels, model.preprocessing)
        with self.clock.stage("encode"):
            codes = self._to_constellation(model.codes(tensor, rate))
        with self.clock.stage("pack"):
            frame = self._frame(codes, image, capture_time_ns)
            data = pack(frame)
        with self.clock.stage("send"):
            self._send(data)
        self._count()
        return self._sent(frame, len(data))

    def encode(self, picture: str | Path | RGBImage) -> bytes:
        """Encode one picture into the bytes of a frame.

        Parameters
        ----------
        picture : image file, or (height, width, 3) uint8 RGB

        Raises
        ------
        ConfigError
            If the transmitter has a sender: a frame that is encoded and not sent would count as lost.
        ImageError
            If the picture is no image that can be read.
        """
        if self._send is not None:
            raise ConfigError("this transmitter has a sender: use run_once, which sends the frame")
        capture_time_ns = time.time_ns()
        model, rate = self._plan
        if isinstance(picture, np.ndarray):
            tensor = preprocess(picture, model.preprocessing)
            image = LoadedImage(picture, *picture.shape[:2])
        else:
            image = read_image(Path(picture), min_side_px=model.preprocessing.size_px)
            tensor = preprocess(image.pixels, model.preprocessing)
        codes = self._to_constellation(model.codes(tensor, rate))
        data = pack(self._frame(codes, image, capture_time_ns))
        self._count()
        return data

    def encode_batch(self, pictures: Iterable[str | Path | RGBImage]) -> list[bytes]:
        """Encode pictures in order; see `encode`."""
        return [self.encode(picture) for picture in pictures]

    def _usable(self, plan: Plan) -> Plan:
        """Return the plan; ConfigError for a model that this stream's pilots do not go with."""
        if plan.model is not self._plan.model:
            check_pilots(self.num_pilots, plan.model)
            if plan.model.codes_format is not self._codes_format:
                raise ConfigError(
                    f"this stream sends {self._codes_format.name.lower()}, and {plan.model.codec} was loaded for"
                    f" {plan.model.codes_format.name.lower()}: load it with codes_format={self._codes_format}"
                )
        return plan

    def _frame(self, codes: IQCodes, image: LoadedImage, capture_time_ns: int) -> Frame:
        model, rate = self._plan
        return Frame(
            stream_id=self.stream_id,
            sequence=self.num_sent,
            capture_time_ns=capture_time_ns,
            fingerprint=model.fingerprints[rate],
            rate=rate,
            codes=np.concatenate([self._pilot_codes, codes]) if self.num_pilots else codes,
            codes_format=self._codes_format,
            num_pilots=self.num_pilots,
            source_height_px=image.source_height_px,
            source_width_px=image.source_width_px,
        )

    def _to_constellation(self, codes: IQCodes) -> IQCodes:
        if self._constellation is None:
            return codes
        return quantize(self._constellation.nearest(dequantize(codes, self._codes_format)), self._codes_format)

    def _count(self) -> None:
        self.num_sent += 1
        self.sent_by_codec[self._plan.model.codec] += 1
        self.sent_by_num_symbols[self._plan.rate.num_symbols] += 1

    def end(self) -> None:
        """Send the end of the stream, with its number of frames."""
        if self._send is not None:
            self._send(self.end_frame())

    def end_frame(self) -> bytes:
        """The frame that ends the stream."""
        model, rate = self._plan
        return pack(end_of_stream(self.stream_id, self.num_sent, model.fingerprints[rate], rate, time.time_ns()))

    def _sent(self, frame: Frame, num_bytes: int) -> SentFrame:
        size_px = {"height_px": frame.source_height_px, "width_px": frame.source_width_px}
        num_symbols = frame.rate.num_symbols
        return SentFrame(
            frame_id=frame.frame_id,
            codec=self._plan.model.codec,
            num_symbols=num_symbols,
            capture_time_ns=frame.capture_time_ns,
            num_bytes=num_bytes,
            payload_cbr=channel_bandwidth_ratio(num_symbols, **size_px),
            total_cbr=channel_bandwidth_ratio(num_symbols + self.num_pilots, **size_px),
            stage_ms=dict(self.clock.last_ms),
        )
