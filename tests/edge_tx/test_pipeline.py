"""The transmitter's data path, with a recorded sender in the socket's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Plan, Transmitter
from engines.models.model_set import ModelSet
from semlink.channel import pilot_symbols
from semlink.constellation import Constellation
from semlink.errors import ConfigError, ImageError
from semlink.frame import Frame, unpack
from semlink.image import LoadedImage, RGBImage, preprocess
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
    with pytest.raises(ConfigError, match="pilots must be 0 or more"):
        Transmitter(model, parse_rate("16"), lambda data: None, num_pilots=-1)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (3000, 2, 3)])
def test_any_shape_of_picture_is_sent(model_set: ModelSet, sent: list[bytes], shape: tuple[int, int, int]) -> None:
    transmitter = Transmitter(load_transmitter_model(model_set, parse_rate("16")), parse_rate("16"), sent.append)
    transmitter.run_once(whole(np.full(shape, 200, np.uint8)))
    assert unpack(sent[0]).source_width_px == shape[1]


def test_a_plan_of_another_codes_format_is_refused(
    model_set: ModelSet, pictures: dict[str, RGBImage], sent: list[bytes]
) -> None:
    """Its codes would be packed beside pilots of another scale."""
    rate = parse_rate("16")
    transmitter = Transmitter(load_transmitter_model(model_set, rate), rate, sent.append, num_pilots=8)
    other = load_transmitter_model(model_set, rate, codes_format=CodesFormat.SC16)
    with pytest.raises(ConfigError, match="this stream sends sc8, and synthetic-codec was loaded for sc16"):
        transmitter.run_once(whole(pictures["boat/1.png"]), Plan(other, rate))
    assert not sent
    assert transmitter.plan.model is not other


class TestEncode:
    """Frames without a sender."""

    @pytest.fixture
    def transmitter(self, model_set: ModelSet) -> Transmitter:
        return Transmitter.open(str(model_set.folder), rate=16, num_pilots=2)

    def test_codes_are_those_that_are_sent(
        self, transmitter: Transmitter, model_set: ModelSet, pictures: dict[str, RGBImage], sent: list[bytes]
    ) -> None:
        rate = parse_rate("16")
        sender = Transmitter(load_transmitter_model(model_set, rate), rate, sent.append, num_pilots=2)
        for image in pictures.values():
            sender.run_once(whole(image))
        encoded = [unpack(data) for data in transmitter.encode_batch(pictures.values())]
        expected = [unpack(data) for data in sent]
        assert [facts(frame) for frame in encoded] == [facts(frame) for frame in expected]

    def test_a_file_gives_the_codes_of_its_pixels(
        self, transmitter: Transmitter, picture_folder: Path, pictures: dict[str, RGBImage]
    ) -> None:
        path = picture_folder / "boat" / "1.png"
        of_path, of_text, of_pixels = map(unpack, transmitter.encode_batch([path, str(path), pictures["boat/1.png"]]))
        assert of_path.codes.tobytes() == of_text.codes.tobytes() == of_pixels.codes.tobytes()
        assert (of_path.source_height_px, of_path.source_width_px) == pictures["boat/1.png"].shape[:2]

    def test_the_end_counts_what_was_encoded(self, transmitter: Transmitter, pictures: dict[str, RGBImage]) -> None:
        frames = [unpack(data) for data in transmitter.encode_batch(pictures.values())]
        end = unpack(transmitter.end_frame())
        assert end.is_end_of_stream
        assert (end.stream_id, end.sequence) == (frames[0].stream_id, len(pictures))
        assert [frame.sequence for frame in frames] == list(range(len(pictures)))

    @pytest.mark.parametrize(
        "picture",
        [
            np.zeros(4, np.uint8),
            np.zeros((4, 4), np.uint8),
            np.zeros((4, 4, 4), np.uint8),
            np.zeros((4, 4, 3)),
            np.zeros((0, 4, 3), np.uint8),
        ],
        ids=["row", "grey", "RGBA", "float", "empty"],
    )
    def test_an_array_that_is_no_picture_is_refused(self, transmitter: Transmitter, picture: RGBImage) -> None:
        with pytest.raises(ImageError, match=r"\(height, width, 3\) uint8, got"):
            transmitter.encode(picture)
        assert transmitter.num_sent == 0

    def test_a_missing_file_is_named(self, transmitter: Transmitter, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"missing\.png: cannot be read"):
            transmitter.encode(tmp_path / "missing.png")

    def test_there_is_nowhere_to_send(self, transmitter: Transmitter, pictures: dict[str, RGBImage]) -> None:
        with pytest.raises(ConfigError, match="no sender: use encode"):
            transmitter.run_once(whole(pictures["boat/1.png"]))

    def test_a_frame_that_is_not_sent_takes_no_number_of_a_stream(
        self, model_set: ModelSet, pictures: dict[str, RGBImage], sent: list[bytes]
    ) -> None:
        transmitter = Transmitter(load_transmitter_model(model_set, parse_rate("16")), parse_rate("16"), sent.append)
        with pytest.raises(ConfigError, match="has a sender: use run_once"):
            transmitter.encode(pictures["boat/1.png"])
        transmitter.run_once(whole(pictures["boat/1.png"]))
        assert unpack(sent[0]).sequence == 0

    def test_unknown_rate_and_codec_are_named(self, model_set: ModelSet) -> None:
        with pytest.raises(ConfigError, match='rate "17" is unknown'):
            Transmitter.open(str(model_set.folder), rate=17)
        with pytest.raises(ConfigError, match="no codec morse; it has: synthetic-codec"):
            Transmitter.open(str(model_set.folder), codec="morse")


def facts(frame: Frame) -> tuple[object, ...]:
    """What a picture determines of its frame."""
    return (frame.sequence, frame.fingerprint, frame.num_pilots, frame.rate, frame.codes.tobytes())
