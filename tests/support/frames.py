"""A transmitter reduced to what a receiver needs of one."""

from __future__ import annotations

import numpy as np

from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.channel import pilot_symbols
from semlink.frame import Frame, end_of_stream
from semlink.image import RGBImage
from semlink.iq import CodesFormat, Symbols, normalize_power, pair_latent, quantize
from semlink.rates import parse_rate


class FrameMaker:
    """Makes the frames of one stream from pictures, by the parts and not by the composed graph."""

    def __init__(self, model_set: ModelSet, num_symbols: int = 64, stream_id: int = 0xABC) -> None:
        self.rate = parse_rate(str(num_symbols))
        self.stream_id = stream_id
        self.fingerprint = model_set.codec().fingerprint(self.rate)
        self._encoder = ImageEncoder(model_set)
        self._codec = model_set.codec().load_encoder(self.rate)

    def symbols(self, image: RGBImage) -> Symbols:
        return normalize_power(pair_latent(self._codec(self._encoder.encode([image]))))[0]

    def frame(
        self,
        image: RGBImage,
        sequence: int,
        *,
        capture_time_ns: int = 1_700_000_000_000_000_000,
        codes_format: CodesFormat = CodesFormat.SC8,
        num_pilots: int = 0,
        gain: complex = 1.0,
    ) -> Frame:
        sent = np.concatenate([pilot_symbols(num_pilots), self.symbols(image)])
        return Frame(
            stream_id=self.stream_id,
            sequence=sequence,
            capture_time_ns=capture_time_ns,
            fingerprint=self.fingerprint,
            rate=self.rate,
            codes=quantize((sent * gain).astype(np.complex64), codes_format),
            codes_format=codes_format,
            num_pilots=num_pilots,
            source_height_px=image.shape[0],
            source_width_px=image.shape[1],
        )

    def end(self, num_frames: int) -> Frame:
        return end_of_stream(self.stream_id, num_frames, self.fingerprint, self.rate, 0)


def frame_of(fingerprint: bytes, sent: Symbols, stream_id: int, sequence: int, *, num_pilots: int = 0) -> Frame:
    """Frame of some symbols, behind pilots; for a codec that has no maker."""
    return Frame(
        stream_id=stream_id,
        sequence=sequence,
        capture_time_ns=1_700_000_000_000_000_000,
        fingerprint=fingerprint,
        rate=parse_rate(str(sent.size)),
        codes=quantize(np.concatenate([pilot_symbols(num_pilots), sent])),
        num_pilots=num_pilots,
    )
