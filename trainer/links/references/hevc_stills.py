"""Pictures as HEVC intra stills, which is what BPG is, cut down to the bytes that differ between pictures.

A still is one IDR slice. The parameter sets (VPS, SPS, PPS), start codes and the two bytes of the NAL unit's
header are the same for all stills of one size, so a receiver holds them and nobody sends them: of a
32 x 32 picture they would be the larger part. Of 1,000 of CIFAR-100's training images the smallest slice that is left
is of 5 bytes, at the worst quality that there is (QP 51); half of them take 13 or fewer then, the largest 31.

Encoder: x265, preset "veryslow", 4:2:0, 8 bits, without what spends bits for the eye's sake (psy-rd, adaptive
quantization) and without SAO, whose flags cost more than they bring at this size.

Sources: ITU-T H.265, annex B and 7.3.1 for what is cut off; Bellard, "BPG image format", 2014.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import ModuleType

import numpy as np
import numpy.typing as npt

from semlink.errors import ConfigError, DecodeError, EngineError
from semlink.image import RGBImage
from trainer.links.references.packages import missing_module

__all__ = ["BEST_QP", "WORST_QP", "HevcStills", "StillLadder"]

WORST_QP = 51
"""Coarsest quantization that HEVC has."""
BEST_QP = 8
"""Finest that is tried; a 32 x 32 picture of it takes more than any rate here carries, or shows no difference."""

_START_CODE = b"\x00\x00\x01"
_NAL_HEADER_BYTES = 2
_FIRST_PARAMETER_SET = 32
"""NAL unit types from here on are no slices (ITU-T H.265, table 7-1)."""

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
        if min(height_px, width_px) < 16 or height_px % 2 or width_px % 2:
            raise ConfigError(f"HEVC stills need even sides of 16 or more, got {width_px} x {height_px}")
        self._av = _library()
        self.height_px, self.width_px = height_px, width_px
        blank = np.zeros((height_px, width_px, 3), dtype=np.uint8)
        (stream,) = self._streams([blank], WORST_QP)
        units = list(_nal_units(stream))
        self._parameter_sets = [unit for unit in units if _nal_type(unit) >= _FIRST_PARAMETER_SET]
        self._slice_header = _only_slice(units)[:_NAL_HEADER_BYTES]

    def encode(self, images: Sequence[RGBImage], qp: int) -> list[bytes]:
        """Give each picture's slice, without what the receiver holds.

        Parameters
        ----------
        images : each (height_px, width_px, 3) uint8
        qp : quantization parameter, 0 (finest) to 51

        Returns
        -------
        payloads : none ends in a zero byte (ITU-T H.265, 7.3.2.11), so zeros may pad it without a length field
        """
        payloads = []
        for stream in self._streams(images, qp):
            units = list(_nal_units(stream))
            if [unit for unit in units if _nal_type(unit) >= _FIRST_PARAMETER_SET] != self._parameter_sets:
                raise EngineError("x265 changed its parameter sets between pictures of one size")
            payloads.append(_only_slice(units)[_NAL_HEADER_BYTES:])
        return payloads

    def decode(self, payloads: Sequence[bytes]) -> list[RGBImage]:
        """Inverse of `encode`, of payloads that arrived as they were; DecodeError if one did not."""
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
        """One access unit for each picture; none refers to another."""
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
    """Every picture at every quality, encoded when first asked for."""

    def __init__(self, stills: HevcStills, images: Sequence[RGBImage]) -> None:
        self._stills, self._images = stills, images
        self._steps: dict[int, list[bytes]] = {}

    def best_within(self, num_bytes: int) -> list[bytes | None]:
        """Of each picture the best quality that takes at most `num_bytes`; None if even the worst takes more."""
        best: list[bytes | None] = [None] * len(self._images)
        for qp in range(WORST_QP, BEST_QP - 1, -1):
            fits = [len(payload) <= num_bytes for payload in self._at(qp)]
            best = [payload if fit else kept for payload, fit, kept in zip(self._at(qp), fits, best, strict=True)]
            if not any(fits):
                break
        return best

    def sizes_bytes(self, qp: int) -> npt.NDArray[np.int64]:
        """(num_images,) of payloads at one quality."""
        return np.array([len(payload) for payload in self._at(qp)], dtype=np.int64)

    def _at(self, qp: int) -> list[bytes]:
        if qp not in self._steps:
            self._steps[qp] = self._stills.encode(self._images, qp)
        return self._steps[qp]


def _nal_units(stream: bytes) -> Iterator[bytes]:
    """What lies between start codes, without the zeros that may trail it (ITU-T H.265, annex B)."""
    for unit in stream.split(_START_CODE)[1:]:
        yield unit.rstrip(b"\x00")


def _nal_type(unit: bytes) -> int:
    return (unit[0] >> 1) & 0x3F


def _only_slice(units: Sequence[bytes]) -> bytes:
    slices = [unit for unit in units if _nal_type(unit) < _FIRST_PARAMETER_SET]
    if len(slices) != 1:
        raise EngineError(f"x265 gave {len(slices)} slices of one still")
    return slices[0]
