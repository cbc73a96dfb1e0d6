"""The transmitter's data path, with a recorded sender in the socket's place."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from edge_tx.stream import Pacer
from engines.models.model_set import ModelSet
from semlink.channel import pilot_symbols
from semlink.constellation import Constellation
from semlink.errors import ConfigError, EngineError, ModelSetError
from semlink.frame import unpack
from semlink.image import LoadedImage, RGBImage, preprocess
from semlink.interrupt import Interruption
from semlink.iq import CodesFormat, dequantize, normalize_power, pair_latent, quantize
from semlink.rates import parse_rate


def whole(pixels: RGBImage) -> LoadedImage:
    """A picture that was not scaled down on its way into memory."""
    return LoadedImage(pixels, *pixels.shape[:2])


@pytest.fixture
def sent() -> list[bytes]:
    return []


@pytest.mark.parametrize("codes_format", [CodesFormat.SC8, CodesFormat.SC16])
def test_frame_holds_what_the_parts_compute(
    model_set: ModelSet, pictures: dict[str, RGBImage], sent: list[bytes], codes_format: CodesFormat
) -> None:
    rate = parse_rate("64")
    model = load_transmitter_model(model_set, rate, codes_format=codes_format)
    transmitter = Transmitter(model, rate, sent.append)
    encoder, codec = model_set.load_encoder(), model_set.codec().load_encoder(rate)
    for image in pictures.values():
        transmitter.run_once(whole(image), capture_time_ns=123)
        tensor = preprocess(image, model_set.manifest.encoder.preprocessing)[None]
        codes = quantize(normalize_power(pair_latent(codec(encoder(tensor))))[0], codes_format)
        frame = unpack(sent[-1])
        # A value on the border between two codes may fall either way in another order of sums.
        assert np.abs(frame.codes.astype(int) - codes.astype(int)).max() <= 1
        assert (frame.codes != codes).mean() < 0.01
        assert frame.capture_time_ns == 123
        assert frame.fingerprint == model_set.codec().fingerprint(rate)
        assert (frame.source_height_px, frame.source_width_px) == image.shape[:2]
        assert np.mean(np.abs(dequantize(frame.codes, codes_format)) ** 2) == pytest.approx(1.0, abs=0.02)


def test_sequence_counts_and_the_end_says_how_many(
    model_set: ModelSet, pictures: dict[str, RGBImage], sent: list[bytes]
) -> None:
    transmitter = Transmitter(load_transmitter_model(model_set, parse_rate("16")), parse_rate("16"), sent.append)
    reports = [transmitter.run_once(whole(image)) for image in pictures.values()]
    transmitter.end()
    frames = [unpack(data) for data in sent]
    assert [frame.sequence for frame in frames] == list(range(len(pictures) + 1))
    assert frames[-1].is_end_of_stream
    assert {frame.stream_id for frame in frames} == {transmitter.stream_id}
    assert [report.frame_id for report in reports] == [frame.frame_id for frame in frames[:-1]]
    height, width = next(iter(pictures.values())).shape[:2]
    assert reports[0].payload_cbr == reports[0].total_cbr == 16 / (height * width * 3)
    assert set(reports[0].stage_ms) == {"preprocess", "encode", "pack", "send"}


def test_pilots_go_in_front_and_are_counted(
    model_set: ModelSet, pictures: dict[str, RGBImage], sent: list[bytes]
) -> None:
    transmitter = Transmitter(
        load_transmitter_model(model_set, parse_rate("16")), parse_rate("16"), sent.append, num_pilots=8
    )
    report = transmitter.run_once(whole(next(iter(pictures.values()))))
    frame = unpack(sent[0])
    assert frame.num_pilots == 8
    np.testing.assert_allclose(dequantize(frame.codes[:8]), pilot_symbols(8), atol=8 / 127)
    assert report.total_cbr == pytest.approx(report.payload_cbr * 24 / 16)


@pytest.mark.parametrize("constellation", Constellation)
def test_digital_radio_sends_points_alone(
    model_set: ModelSet, pictures: dict[str, RGBImage], sent: list[bytes], constellation: Constellation
) -> None:
    rate = parse_rate("64")
    model = load_transmitter_model(model_set, rate, codes_format=CodesFormat.SC16)
    transmitter = Transmitter(model, rate, sent.append, num_pilots=4, constellation=constellation)
    for image in pictures.values():
        transmitter.run_once(whole(image))
        frame = unpack(sent[-1])
        data = frame.codes[4:]
        assert len(np.unique(np.abs(data))) <= constellation.levels_per_axis // 2
        assert np.mean(np.abs(dequantize(data, CodesFormat.SC16)) ** 2) == pytest.approx(1.0, abs=1e-3)


def test_negative_pilots_are_refused(model_set: ModelSet) -> None:
    model = load_transmitter_model(model_set, parse_rate("16"))
    with pytest.raises(ConfigError, match="num_pilots"):
        Transmitter(model, parse_rate("16"), lambda data: None, num_pilots=-1)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (3000, 2, 3)])
def test_any_shape_of_picture_is_sent(model_set: ModelSet, sent: list[bytes], shape: tuple[int, int, int]) -> None:
    transmitter = Transmitter(load_transmitter_model(model_set, parse_rate("16")), parse_rate("16"), sent.append)
    transmitter.run_once(whole(np.full(shape, 200, np.uint8)))
    assert unpack(sent[0]).source_width_px == shape[1]


def test_broken_model_is_an_error_and_not_silence(model_set: ModelSet, sent: list[bytes]) -> None:
    model = load_transmitter_model(model_set, parse_rate("16"))
    silent = dataclasses.replace(model, graph=lambda tensor: np.zeros((1, 16, 2), np.int8))
    with pytest.raises(EngineError, match="output is zero"):
        Transmitter(silent, parse_rate("16"), sent.append).run_once(whole(np.zeros((9, 9, 3), np.uint8)))
    assert sent == []


def test_missing_rate_is_named(model_set: ModelSet) -> None:
    with pytest.raises(ModelSetError, match="256 symbols"):
        load_transmitter_model(model_set, parse_rate("256"))


def test_pacer_keeps_the_beat() -> None:
    pacer = Pacer(200.0, Interruption())
    start_s = time.monotonic()
    for _ in range(21):
        pacer.wait()
    # The first image is due at once; a sleep may be late, never early.
    assert time.monotonic() - start_s >= 0.1


def test_pacer_lets_the_user_leave() -> None:
    interruption = Interruption()
    pacer = Pacer(0.01, interruption)
    assert pacer.wait()
    interruption.set()
    start_s = time.monotonic()
    assert not pacer.wait()
    assert time.monotonic() - start_s < 1.0


def test_pacer_catches_up_on_at_most_one_late_image() -> None:
    pacer = Pacer(50.0, Interruption())
    pacer.wait()
    time.sleep(0.2)
    start_s = time.monotonic()
    for _ in range(4):
        pacer.wait()
    assert time.monotonic() - start_s >= 0.02


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_impossible_pace_is_refused(fps: float) -> None:
    with pytest.raises(ConfigError, match="fps"):
        Pacer(fps, Interruption())
