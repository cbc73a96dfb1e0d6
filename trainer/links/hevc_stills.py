"""Pictures as HEVC intra stills, which is what BPG is, without the bytes that are the same for all pictures.

A still is one IDR slice. The parameter sets (VPS, SPS, PPS), start codes and the two bytes of the NAL unit's
header are the same for all stills of one size, so the receiver holds them and they are not sent: of a
32 x 32 picture they would be the larger part. For 1,000 of CIFAR-100's training images at the lowest quality (QP 51),
the rest of the slice is 5 bytes at least, 31 at most, and 13 or fewer for half of them.

Encoder: x265, preset "veryslow", 4:2:0, 8 bits, without perceptual optimisation (psy-rd, adaptive quantization) and
without SAO, whose flags cost more than SAO gains at this size.

Sources: ITU-T H.265, annex B and 7.3.1, for the bytes that are removed; Bellard, "BPG image format", 2014.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import ModuleType

import numpy as np

from semlink.errors import ConfigError, DecodeError, EngineError
from semlink.image import RGBImage
from trainer.codecs.limits import STILL_MIN_SIDE_PX
from trainer.codecs.packages import missing_module

__all__ = ["BEST_QP", "WORST_QP", "HevcStills", "StillLadder"]

WORST_QP = 51
"""Coarsest quantization of HEVC."""
BEST_QP = 8
"""Finest quantization that is tried; a 32 x 32 picture then takes more bytes than any rate carries."""

_START_CODE = b"\x00\x00\x01"
_NAL_HEADER_BYTES = 2
_FIRST_PARAMETER_SET = 32
"""NAL unit types from this one on are not slices (ITU-T H.265, table 7-1)."""

_X265 = (
    "keyint=1:min-keyint=1:bframes=0:scenecut=0:rc-lookahead=0:lookahead-slices=0:ipratio=1.0:sao=0:psy-rd=0:psy-rdoq=0"
    ":aq-mode=0:info=0:aud=0:annexb=1:repeat-headers=1:pools=none:frame-threads=1:wpp=0:log-level=none"
)


def _library() -> ModuleType:
    try:
        import av
    except ImportError:
        raise missing_module("av", "bpg-ldpc") from None
    return av


class HevcStills:
    """Encoder and decoder of pictures of one size, with the parameter sets that both ends hold.

    Parameters
    ----------
    height_px, width_px : even, since chroma has half of each, and at least 16

    Raises
    ------
    ConfigError
        If the size is odd, or too small for x265.
    MissingDependencyError
        If PyAV is not installed.
    """

    def __init__(self, *, height_px: int, width_px: int) -> None:
        if min(height_px, width_px) < STILL_MIN_SIDE_PX or height_px % 2 or width_px % 2:
            raise ConfigError(
                f"HEVC stills need even sides of {STILL_MIN_SIDE_PX} or more, got {width_px} x {height_px}"
            )
        self._av = _library()
        self.height_px, self.width_px = height_px, width_px
        blank = np.zeros((height_px, width_px, 3), dtype=np.uint8)
        (stream,) = self._streams([blank], WORST_QP)
        units = list(_nal_units(stream))
        self._parameter_sets = [unit for unit in units if _nal_type(unit) >= _FIRST_PARAMETER_SET]
        self._slice_header = _only_slice(units)[:_NAL_HEADER_BYTES]

    def encode(self, images: Sequence[RGBImage], qp: int) -> list[bytes]:
        """Encode each picture as a slice without the bytes that the receiver holds.

        Parameters
        ----------
        images : each (height_px, width_px, 3) uint8
        qp : quantization parameter, 0 (finest) to 51

        Returns
        -------
        payloads : none ends in a zero byte (ITU-T H.265, 7.3.2.11), so padding with zeros needs no length field
        """
        payloads = []
        for stream in self._streams(images, qp):
            units = list(_nal_units(stream))
            if [unit for unit in units if _nal_type(unit) >= _FIRST_PARAMETER_SET] != self._parameter_sets:
                raise EngineError("x265 changed its parameter sets between pictures of one size")
            payloads.append(_only_slice(units)[_NAL_HEADER_BYTES:])
        return payloads

    def decode(self, payloads: Sequence[bytes]) -> list[RGBImage]:
        """Inverse of `encode`; DecodeError if a payload is not one of its outputs."""
        context = self._av.CodecContext.create("hevc", "r")
        context.thread_count = 1
        before = b"".join(_START_CODE + unit for unit in self._parameter_sets) + _START_CODE + self._slice_header
        frames = []
        for time, payload in enumerate(payloads):
            packet = self._av.Packet(before + payload)
            packet.pts = packet.dts = time
            frames += context.decode(packet)
        frames += context.decode(None)
        if [frame.pts for frame in frames] != list(range(len(payloads))):
            raise DecodeError(f"{len(payloads)} HEVC payloads gave {len(frames)} pictures")
        return [frame.to_ndarray(format="rgb24") for frame in frames]

    def _streams(self, images: Sequence[RGBImage], qp: int) -> list[bytes]:
        """One access unit for each picture, independent of the others."""
        context = self._av.CodecContext.create("libx265", "w")
        context.width, context.height, context.pix_fmt = self.width_px, self.height_px, "yuv420p"
        context.time_base, context.framerate = Fraction(1, 25), 25
        context.options = {"preset": "veryslow", "x265-params": f"qp={qp}:{_X265}"}
        packets = []
        for time, image in enumerate(images):
            if image.shape != (self.height_px, self.width_px, 3):
                raise ConfigError(
                    f"pictures must all be {self.width_px} x {self.height_px}, got {image.shape[1]} x {image.shape[0]}"
                )
            frame = self._av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts = time
            packets += context.encode(frame)
        packets += context.encode(None)
        if [packet.pts for packet in packets] != list(range(len(images))):
            raise EngineError(f"x265 gave {len(packets)} stills of {len(images)} pictures")
        return [bytes(packet) for packet in packets]


class StillLadder:
    """Every picture at every quality, encoded on first use."""

    def __init__(self, stills: HevcStills, images: Sequence[RGBImage]) -> None:
        self._stills, self._images = stills, images
        self._steps: dict[int, list[bytes]] = {}

    def best_within(self, num_bytes: int) -> list[bytes | None]:
        """Each picture at the best quality of at most `num_bytes`; None if the worst quality takes more."""
        best: list[bytes | None] = [None] * len(self._images)
        for qp in range(WORST_QP, BEST_QP - 1, -1):
            fits = [len(payload) <= num_bytes for payload in self._at(qp)]
            best = [payload if fit else kept for payload, fit, kept in zip(self._at(qp), fits, best, strict=True)]
            if not any(fits):
                break
        return best

    def _at(self, qp: int) -> list[bytes]:
        if qp not in self._steps:
            self._steps[qp] = self._stills.encode(self._images, qp)
        return self._steps[qp]


def _nal_units(stream: bytes) -> Iterator[bytes]:
    """NAL units between start codes, without trailing zeros (ITU-T H.265, annex B)."""
    for unit in stream.split(_START_CODE)[1:]:
        yield unit.rstrip(b"\x00")


def _nal_type(unit: bytes) -> int:
    return (unit[0] >> 1) & 0x3F


def _only_slice(units: Sequence[bytes]) -> bytes:
    slices = [unit for unit in units if _nal_type(unit) < _FIRST_PARAMETER_SET]
    if len(slices) != 1:
        raise EngineError(f"x265 gave {len(slices)} slices of one still")
    return slices[0]
