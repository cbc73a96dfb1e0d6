"""`adapted` from a picture to the entry of a small knowledge base: its codebook at both ends, frames over a channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.make import Shape, make_codebook
from edge_rx.decoders.adapted import AdaptedSignals
from edge_rx.decoders.signal import SignalDecoder
from edge_rx.noise import NoiseEstimator
from edge_tx.model import load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel
from semlink.channel_process import SoftwareChannel
from semlink.constellation import Constellation
from semlink.errors import ConfigError, ModelSetError
from semlink.frame import unpack
from semlink.image import LoadedImage, RGBImage
from semlink.iq import CodesFormat, dequantize
from semlink.rates import RATES, Rate, parse_rate

RATE = parse_rate("64")


class Entries:
    """A knowledge base of pictures, as features and labels, with a codebook of its labels, or of cells without them."""

    def __init__(self, models: ModelSet, pictures: Mapping[str, RGBImage], *, with_labels: bool) -> None:
        self.features = ImageEncoder(models).encode(list(pictures.values()))
        self.labels = [name.partition("/")[0] if with_labels else "" for name in pictures]
        self.codebook = make_codebook(
            self.features,
            self.labels,
            knowledge_base=bytes(32),
            space=models.encoder_fingerprint,
            shape=Shape(uses_labels=True, digital_power_share=0.8) if with_labels else None,
        )

    def decoders(self) -> dict[bytes, SignalDecoder]:
        """Decoder of frames by their fingerprint."""
        signals, code = AdaptedSignals.of(self.codebook, self.features, self.labels), self.codebook.nested_code
        return {
            fingerprints[rate]: SignalDecoder(name, detector, rate)
            for name, is_high_snr, fingerprints in (
                (code.name, False, code.fingerprints),
                (code.high_snr_name, True, code.high_snr_fingerprints),
            )
            for rate, detector in signals.detectors(RATES, is_high_snr=is_high_snr).items()
        }


@pytest.fixture(params=[True, False], ids=["labels", "no labels"])
def entries(request: pytest.FixtureRequest, models: ModelSet, pictures: dict[str, RGBImage]) -> Entries:
    return Entries(models, pictures, with_labels=request.param)


def answers(
    transmitter_of: Callable[[Callable[[bytes], None]], Transmitter],
    entries: Entries,
    pictures: Mapping[str, RGBImage],
    *,
    model: ChannelModel = ChannelModel.AWGN,
    snr_db: float = 30.0,
) -> tuple[set[str], list[int]]:
    """Send every picture through a channel; names of the codecs that decoded, and the entry of each answer."""
    received: list[bytes] = []
    channel = SoftwareChannel(model, snr_db=snr_db, rng=np.random.default_rng(3), send=received.append)
    transmitter = transmitter_of(channel.run_once)
    for picture in pictures.values():
        transmitter.run_once(LoadedImage(picture, *picture.shape[:2]))
    decoders, noise, codecs, found = entries.decoders(), NoiseEstimator(), set(), []
    for frame in map(unpack, received):
        decoder = decoders[frame.fingerprint]
        symbols = dequantize(frame.codes, frame.codes_format)
        observation = decoder.equalize(symbols, num_pilots=frame.num_pilots, noise=noise)
        (answer,) = decoder.search(decoder.decode(observation))
        assert answer is not None
        codecs.add(decoder.codec)
        found.append(answer[0])
    return codecs, found


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate.num_symbols >= 16], ids=lambda rate: rate.name)
def test_every_rate_finds_what_was_sent(
    rate: Rate, models: ModelSet, entries: Entries, pictures: dict[str, RGBImage]
) -> None:
    """One engine serves all rates; with labels, 64 symbols are enough for the entry itself, and fewer for its label."""
    loaded = load_transmitter_model(models, parse_rate("4"), codec=entries.codebook)
    codecs, found = answers(lambda send: Transmitter(loaded, rate, send), entries, pictures)
    assert codecs == {"adapted"}
    assert [entries.labels[entry] for entry in found] == entries.labels
    if rate.num_symbols >= 64 or not any(entries.labels):
        assert found == list(range(len(pictures)))


@pytest.mark.parametrize("codes_format", [CodesFormat.SC8, CodesFormat.SC16])
def test_the_high_snr_code_has_its_own_signals(
    codes_format: CodesFormat, models: ModelSet, entries: Entries, pictures: dict[str, RGBImage]
) -> None:
    loaded = load_transmitter_model(models, RATE, codec=entries.codebook, codes_format=codes_format).for_high_snr
    assert loaded is not None
    codecs, found = answers(lambda send: Transmitter(loaded, RATE, send), entries, pictures)
    assert codecs == {"adapted-high-snr"}
    assert found == list(range(len(pictures)))


def test_fading_with_pilots(models: ModelSet, entries: Entries, pictures: dict[str, RGBImage]) -> None:
    loaded = load_transmitter_model(models, RATE, codec=entries.codebook)
    _, found = answers(
        lambda send: Transmitter(loaded, RATE, send, num_pilots=8), entries, pictures, model=ChannelModel.RAYLEIGH
    )
    assert found == list(range(len(pictures)))


def test_points_of_a_constellation(models: ModelSet, entries: Entries, pictures: dict[str, RGBImage]) -> None:
    loaded = load_transmitter_model(models, RATE, codec=entries.codebook)
    _, found = answers(
        lambda send: Transmitter(loaded, RATE, send, constellation=Constellation.QPSK), entries, pictures, snr_db=6.0
    )
    names = entries.labels if any(entries.labels) else list(pictures)
    assert [names[entry] for entry in found] == names


def test_transmitter_opens_the_file(
    models: ModelSet, entries: Entries, pictures: dict[str, RGBImage], tmp_path: Path
) -> None:
    path = tmp_path / "codebook.npz"
    path.write_bytes(entries.codebook.content)
    transmitter = Transmitter.open(str(models.folder), rate="1/48", codebook=path)
    frames = [unpack(frame) for frame in transmitter.encode_batch(list(pictures.values()))]
    assert transmitter.sent_by_codec == {"adapted": len(pictures)}
    assert {frame.fingerprint for frame in frames} == {entries.codebook.fingerprint(RATE)}
    with pytest.raises(ConfigError, match="name a codec or a codebook"):
        Transmitter.open(str(models.folder), codec="nested", codebook=path)
    with pytest.raises(ModelSetError, match=r"No such file.*semlink kb export-codebook"):
        Transmitter.open(str(models.folder), codebook=str(tmp_path / "none.npz"))


def test_a_codebook_of_the_same_pictures_with_other_labels_is_another_one(
    models: ModelSet, pictures: dict[str, RGBImage]
) -> None:
    """No frame of one codebook is decoded with another."""
    labelled, unlabelled = (Entries(models, pictures, with_labels=with_labels) for with_labels in (True, False))
    assert labelled.decoders().keys().isdisjoint(unlabelled.decoders())
