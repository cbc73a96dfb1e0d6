"""Both ends with every kind of codec: what is sent is found, at every rate, and in both codes of `nested-cells`."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")


from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.kb import KnowledgeBase
from edge_rx.noise import NoiseEstimator
from edge_rx.pipeline import Receiver
from edge_tx.model import load_transmitter_model
from engines.models.codecs import NestedCodec
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.image import RGBImage, preprocess
from semlink.iq import normalize_power, pair_latent, quantize
from semlink.rates import RATES, Rate, parse_rate
from tests.support.link import RATE, answers, model_of


def nearest_projected(models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]) -> list[str]:
    """What is found without any channel: an entry's key is drawn to its label, an image's is not."""
    codec = models.codec("nested-labels")
    assert isinstance(codec, NestedCodec)
    images = codec.load_projection_head().project_images(ImageEncoder(models).encode(list(pictures.values())))
    entries = (images @ kb.projected(codec.projection_fingerprint).T).argmax(axis=1)
    return [kb.record(int(entry)).source for entry in entries]


@pytest.mark.parametrize(
    "codec", ["synthetic-codec", "nested", "nested-cells", "nested-labels", "index", "index-labels"]
)
@pytest.mark.parametrize("num_pilots", [0, 8])
def test_every_codec_finds_what_was_sent(
    codec: str, num_pilots: int, models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
) -> None:
    receiver = Receiver(Decoders.of(models, kb, DecoderOptions(answer="nearest")), kb)
    matches = answers(model_of(codec, RATE, kb, models), RATE, receiver, pictures, num_pilots=num_pilots)
    assert not receiver.rejected
    found = [match.source for match in matches if match is not None]
    expected = nearest_projected(models, kb, pictures) if "labels" in codec else list(pictures)
    assert found == expected
    assert all(match is not None and 0.5 < match.score <= 1.001 for match in matches)


def test_each_code_is_detected_by_its_own_signals(
    high_snr_models: ModelSet, high_snr_kb: KnowledgeBase, pictures: dict[str, RGBImage]
) -> None:
    codec, features = (
        high_snr_models.codec("nested-cells"),
        ImageEncoder(high_snr_models).encode(list(pictures.values())),
    )
    assert isinstance(codec, NestedCodec)
    decoders = Decoders.of(high_snr_models, high_snr_kb, DecoderOptions(with_high_snr_code=True))
    codes = {False: codec.codebook, True: codec.codebook.for_high_snr()}
    searches = {
        is_high_snr: MapDetector(SignalTemplates.of(code, high_snr_kb.features()), RATE)
        for is_high_snr, code in codes.items()
    }
    others: list[bool] = []
    for is_high_snr, code in codes.items():
        decoder = decoders.decoder(codec.fingerprint(RATE, is_high_snr=is_high_snr))
        assert decoder.codec == ("nested-cells-high-snr" if is_high_snr else "nested-cells")
        for latent in code.latent(features)[:, : RATE.latent_dim]:
            received = normalize_power(pair_latent(latent))
            query = decoder.decode(decoder.equalize(received, num_pilots=0, noise=NoiseEstimator()))
            (found,) = decoder.search(query)
            assert found is not None
            own, other = (searches[each].match(query)[0] for each in (is_high_snr, not is_high_snr))
            assert found[:2] == own[:2]
            others += [found[:2] != other[:2]]
    assert np.mean(others) > 0.5


def test_what_is_not_served_says_why_for_both_codes(
    high_snr_models: ModelSet,
    high_snr_kb: KnowledgeBase,
    pictures: dict[str, RGBImage],
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = load_transmitter_model(high_snr_models, RATE, codec="nested-cells")
    assert model.for_high_snr is not None
    silent = Receiver(Decoders.of(high_snr_models, high_snr_kb), high_snr_kb)
    assert answers(model.for_high_snr, RATE, silent, pictures) == [None] * len(pictures)
    assert dict(silent.rejected) == {"codec not served": len(pictures)}
    assert "start it with --feedback" in caplog.text
    caplog.clear()
    narrow = Receiver(
        Decoders.of(high_snr_models, high_snr_kb, DecoderOptions(rates=[parse_rate("16")], with_high_snr_code=True)),
        high_snr_kb,
    )
    for each in (model, model.for_high_snr):
        answers(each, RATE, narrow, pictures)
    assert dict(narrow.rejected) == {"codec not served": 2 * len(pictures)}
    assert "serves other rates" in caplog.text
    for codec in ("nested", "nested-labels"):
        assert load_transmitter_model(high_snr_models, RATE, codec=codec).for_high_snr is None


def test_one_graph_gives_both_codes_at_every_rate(high_snr_models: ModelSet, pictures: dict[str, RGBImage]) -> None:
    picture = next(iter(pictures.values()))
    model, codebook = (
        load_transmitter_model(high_snr_models, RATE, codec="nested-cells"),
        high_snr_models.codec("nested-cells").codebook,
    )
    assert model.for_high_snr is not None
    tensor, features = preprocess(picture, model.preprocessing), ImageEncoder(high_snr_models).encode([picture])
    given = {}
    for each, code in ((model, codebook), (model.for_high_snr, codebook.for_high_snr())):
        for rate in RATES:
            expected = quantize(normalize_power(pair_latent(code.latent(features)[:, : rate.latent_dim])))
            given[each.codec, rate] = each.codes(tensor, rate)
            # Rounding may fall either way.
            assert np.abs(given[each.codec, rate] - expected[0].astype(int)).max() <= 1
    for rate in RATES:
        assert np.abs(given["nested-cells", rate].astype(int) - given["nested-cells-high-snr", rate]).max() > 1


@pytest.mark.parametrize("rate", RATES[2:], ids=lambda rate: str(rate.num_symbols))
def test_one_engine_serves_every_rate(
    rate: Rate, models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
) -> None:
    receiver = Receiver(Decoders.of(models, kb, DecoderOptions(answer="nearest")), kb)
    model = load_transmitter_model(models, parse_rate("4"), codec="nested")
    matches = answers(model, rate, receiver, pictures)
    assert {match.codec for match in matches if match} == {"nested"}
    assert [match and match.num_symbols for match in matches] == [rate.num_symbols] * len(pictures)
    assert [match and match.source for match in matches] == list(pictures)


def test_a_rate_that_is_not_served_is_refused_by_name(
    models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage], caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(Decoders.of(models, kb, DecoderOptions(rates=[parse_rate("16")])), kb)
    for codec in ("nested", "index"):
        assert answers(model_of(codec, RATE, kb, models), RATE, receiver, pictures) == [None] * 12
    assert receiver.rejected == {"codec not served": 24}
    assert "this receiver serves other rates" in caplog.text


def test_score_falls_where_the_knowledge_base_has_nothing_alike(
    models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
) -> None:
    rng = np.random.default_rng(7)
    strangers = {str(i): rng.integers(0, 256, (10, 12, 3), dtype=np.uint8) for i in range(12)}
    model = load_transmitter_model(models, RATE, codec="nested")
    known, unknown = (
        [match.score for match in answers(model, RATE, Receiver(Decoders.of(models, kb), kb), images) if match]
        for images in (pictures, strangers)
    )
    assert np.mean(known) > np.mean(unknown) + 0.1
