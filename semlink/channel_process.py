"""The software channel: frames in, the same frames with the channel's noise and gains out.

Only the IQ payload changes. A frame that arrives damaged is counted and dropped here, because its new checksum would
otherwise certify the damage.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from semlink.channel import AnyChannel, apply_channel, noise_variance
from semlink.channel_registry import find_channel
from semlink.errors import DecodeError
from semlink.frame import Frame, pack, unpack, with_received_codes
from semlink.iq import MAX_AMPLITUDE, count_clipped, dequantize, quantize, unpair_symbols
from semlink.rejections import Rejections
from semlink.sequence import MAX_STREAMS
from semlink.timing import StageClock

__all__ = ["Channel", "SoftwareChannel"]

_log = logging.getLogger(__name__)


class Channel:
    """A channel from frame to frame, without sockets.

    Parameters
    ----------
    model : name of a channel, see `semlink.channel_registry.find_channel`, or a channel itself
    snr_db : Es/N0 for unit Es; under fading its mean [dB]
    seed : seed of noise and gains, or a generator

    Raises
    ------
    ConfigError
        If the name is unknown, or the SNR out of range.
    """

    def __init__(self, model: str | AnyChannel = "awgn", *, snr_db: float, seed: int | np.random.Generator = 0) -> None:
        noise_variance(snr_db)  # refuses an SNR out of range before the first frame
        # ChannelModel is a str too, and finds itself.
        self.model = find_channel(model) if isinstance(model, str) else model
        self._snr_db, self._rng = snr_db, np.random.default_rng(seed)
        self._num_values = self._num_clipped = 0

    @property
    def clipping_rate(self) -> float:
        """Share of received I and Q values beyond the range of the codes, 0..1."""
        return self._num_clipped / max(1, self._num_values)

    def run_once(self, data: bytes) -> bytes:
        """Pass one packed frame through the channel; the end of a stream passes unchanged.

        Raises
        ------
        DecodeError
            If the bytes are no valid frame.
        """
        frame = unpack(data)
        return data if frame.is_end_of_stream else pack(self.apply(frame))

    def apply(self, frame: Frame) -> Frame:
        """Pass one frame through the channel."""
        sent = dequantize(frame.codes, frame.codes_format)
        received = apply_channel(sent, self.model, snr_db=self._snr_db, rng=self._rng).symbols
        # A peer may send cf32 as large as the format holds, and noise must not carry it beyond that.
        limited = np.clip(unpair_symbols(received), -MAX_AMPLITUDE, MAX_AMPLITUDE).view(np.complex64)
        codes = quantize(limited, frame.codes_format)
        self._num_values += codes.size
        self._num_clipped += count_clipped(codes, frame.codes_format)
        return with_received_codes(frame, codes)


class SoftwareChannel:
    """A channel that forwards messages, and counts those that it drops.

    Parameters
    ----------
    model, snr_db, rng : see `Channel`
    send : sends a packed frame
    clock : collects the stages' times
    """

    def __init__(
        self,
        model: AnyChannel,
        *,
        snr_db: float,
        rng: np.random.Generator,
        send: Callable[[bytes], None],
        clock: StageClock | None = None,
    ) -> None:
        self.clock = clock or StageClock()
        self.num_forwarded = 0
        self.rejected = Rejections()
        self._channel = Channel(model, snr_db=snr_db, seed=rng)
        self._has_streams = False
        self._open_streams: OrderedDict[int, None] = OrderedDict()
        self._send = send

    @property
    def clipping_rate(self) -> float:
        """See `Channel.clipping_rate`."""
        return self._channel.clipping_rate

    @property
    def all_streams_ended(self) -> bool:
        """Whether there was a stream, and none is open."""
        return self._has_streams and not self._open_streams

    def run_once(self, data: bytes) -> None:
        """Forward one message, or count and drop it."""
        try:
            with self.clock.stage("channel"):
                frame = unpack(data)
                if not frame.is_end_of_stream:
                    self._check_pilots(frame)
                    data = pack(self._channel.apply(frame))
        except DecodeError as error:
            self.rejected.count(error)
            return
        with self.clock.stage("send"):
            self._send(data)
        self.num_forwarded += not frame.is_end_of_stream
        self._note_stream(frame)

    def _note_stream(self, frame: Frame) -> None:
        """Note a stream as open until its end; of more than `MAX_STREAMS` the one that was idle longest is dropped."""
        self._has_streams = True
        self._open_streams.pop(frame.stream_id, None)
        if not frame.is_end_of_stream:
            self._open_streams[frame.stream_id] = None
            if len(self._open_streams) > MAX_STREAMS:
                self._open_streams.popitem(last=False)

    def _check_pilots(self, frame: Frame) -> None:
        is_new = frame.stream_id not in self._open_streams
        if self._channel.model.rotates_phase and not frame.num_pilots and is_new:
            _log.warning(
                "this stream has no pilots, from which receivers estimate the phase of a fading channel;"
                " use: semlink tx --pilots 8"
            )
