"""Models of a transmitter: what they are loaded for, and what they refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_tx.model import load_index_model, load_transmitter_model
from engines.models.entry_codebook import EntryCodebook, entry_codewords, index_fingerprint
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, ModelSetError
from semlink.image import RGBImage, preprocess
from semlink.iq import CodesFormat, dequantize, pair_latent
from semlink.rates import RATES, parse_rate

KNOWLEDGE_BASE = bytes(range(32))
RATE = parse_rate("16")


def entries_of(model_set: ModelSet, pictures: dict[str, RGBImage], *, space: str | None = None) -> EntryCodebook:
    preprocessing = model_set.manifest.encoder.preprocessing
    tensors = np.stack([preprocess(picture, preprocessing) for picture in pictures.values()])
    return EntryCodebook.of(
        model_set.load_encoder()(tensors), KNOWLEDGE_BASE, space=space or model_set.encoder_fingerprint
    )


class TestGraphModel:
    def test_facts_of_the_codec(self, model_set: ModelSet) -> None:
        model = load_transmitter_model(model_set, RATE, codes_format=CodesFormat.SC16)
        assert (model.codec, model.codes_format) == ("synthetic-codec", CodesFormat.SC16)
        assert model.fingerprints == {RATE: model_set.codec().fingerprint(RATE)}
        assert model.for_high_snr is None

    def test_missing_rate_is_named(self, model_set: ModelSet) -> None:
        with pytest.raises(ModelSetError, match="256 symbols"):
            load_transmitter_model(model_set, parse_rate("256"))

    def test_unknown_codec_is_named(self, model_set: ModelSet) -> None:
        with pytest.raises(ConfigError, match="no codec morse; it has: synthetic-codec"):
            load_transmitter_model(model_set, RATE, codec="morse")

    def test_a_damaged_graph_is_an_error_and_not_silence(self, model_set: ModelSet) -> None:
        model = load_transmitter_model(model_set, RATE)
        silent = dataclasses.replace(model, graph=lambda tensor: np.zeros((1, 16, 2), np.int8))
        with pytest.raises(EngineError, match="output is zero"):
            silent.codes(np.zeros((8, 8, 3), np.uint8), RATE)


class TestIndexModel:
    def test_the_codeword_of_the_picture_is_sent(self, model_set: ModelSet, pictures: dict[str, RGBImage]) -> None:
        model = load_index_model(model_set, entries_of(model_set, pictures))
        for entry, picture in enumerate(pictures.values()):
            codes = model.codes(preprocess(picture, model.preprocessing), RATE)
            codeword = pair_latent(entry_codewords(KNOWLEDGE_BASE, np.array([entry]), RATE))[0]
            np.testing.assert_allclose(dequantize(codes), codeword, atol=8 / 127)

    def test_every_rate_of_the_wire_has_a_fingerprint(self, model_set: ModelSet, pictures: dict[str, RGBImage]) -> None:
        model = load_index_model(model_set, entries_of(model_set, pictures))
        space = model_set.encoder_fingerprint
        assert model.codec == "index"
        assert model.fingerprints == {rate: index_fingerprint(space, KNOWLEDGE_BASE, rate) for rate in RATES}

    def test_entries_of_other_models_are_refused(
        self, model_set: ModelSet, other_model_set: ModelSet, pictures: dict[str, RGBImage]
    ) -> None:
        with pytest.raises(ModelSetError, match="exported for other models than those of"):
            load_index_model(model_set, entries_of(other_model_set, pictures))

    def test_entries_of_another_width_are_refused(self, model_set: ModelSet) -> None:
        narrow = EntryCodebook.of(np.eye(3, 5, dtype=np.float32), KNOWLEDGE_BASE, space=model_set.encoder_fingerprint)
        with pytest.raises(ModelSetError, match="the entries have 5 dimensions, synthetic has 16"):
            load_index_model(model_set, narrow)
