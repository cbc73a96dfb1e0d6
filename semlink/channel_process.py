"""The software channel: frames in, the same frames with what the air adds, out.

Only the IQ payload changes. A frame that arrives damaged is counted and dropped here, since after
this process its checksum would vouch for the damage.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import numpy as np

from semlink.channel import ChannelModel, apply_channel, noise_variance
from semlink.errors import DecodeError
from semlink.frame import Frame, pack, unpack, with_received_codes
from semlink.iq import count_clipped, dequantize, quantize
from semlink.timing import StageClock

__all__ = ["SoftwareChannel"]

_log = logging.getLogger(__name__)


class SoftwareChannel:
    """Applies a channel model to frames.

    Parameters
    ----------
    model, snr_db : see `semlink.channel.apply_channel`
    rng : source of noise and gains
    send : takes a packed frame
    clock : collects the stages' times
    """

    def __init__(
        self,
        model: ChannelModel,
        *,
        snr_db: float,
        rng: np.random.Generator,
        send: Callable[[bytes], None],
        clock: StageClock | None = None,
    ) -> None:
        self.clock = clock or StageClock()
        self.num_forwarded = 0
        self.rejected: Counter[str] = Counter()
        self._num_values = self._num_clipped = 0
        self._has_heard = False
        self._open_streams: set[int] = set()
        self._turns_phase = model.is_block_fading or model is ChannelModel.RAYLEIGH_FAST
        noise_variance(snr_db)  # a level that no frame could cross is refused before the first one
        self._model, self._snr_db, self._rng, self._send = model, snr_db, rng, send

    @property
    def clipping_rate(self) -> float:
        """Share of received I and Q values that did not fit the format, 0..1."""
        return self._num_clipped / max(1, self._num_values)

    @property
    def all_streams_ended(self) -> bool:
        """Whether a stream was heard, and none is open."""
        return self._has_heard and not self._open_streams

    def run_once(self, data: bytes) -> None:
        """Forward one message, or count and drop it."""
        try:
            with self.clock.stage("channel"):
                frame = unpack(data)
                if not frame.is_end_of_stream:
                    frame = self._through_the_air(frame)
                    data = pack(frame)
        except DecodeError as error:
            self.rejected[str(error).partition(":")[0]] += 1
            _log.warning("dropped a message: %s", error)
            return
        with self.clock.stage("send"):
            self._send(data)
        self.num_forwarded += not frame.is_end_of_stream
        self._has_heard = True
        (self._open_streams.discard if frame.is_end_of_stream else self._open_streams.add)(frame.stream_id)

    def _through_the_air(self, frame: Frame) -> Frame:
        if self._turns_phase and not frame.num_pilots and frame.stream_id not in self._open_streams:
            _log.warning("this stream has no pilots, so no receiver can undo the fading; use: semlink tx --pilots 8")
        sent = dequantize(frame.codes, frame.codes_format)
        observation = apply_channel(sent, self._model, snr_db=self._snr_db, rng=self._rng)
        codes = quantize(observation.symbols, frame.codes_format)
        self._num_values += codes.size
        self._num_clipped += count_clipped(codes, frame.codes_format)
        return with_received_codes(frame, codes)
