"""Models of a transmitter: what they are loaded for, and what they refuse."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_tx.model import load_codebook, load_index_model, load_transmitter_model
from engines.models.entry_codebook import EntryCodebook, entry_codewords, index_fingerprint
from engines.models.knowledge_base_codebook import MAX_CODEBOOK_BYTES
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, ModelSetError
from semlink.image import RGBImage, preprocess
from semlink.iq import CodesFormat, dequantize, normalize_power, pair_latent, quantize
from semlink.rates import RATES, parse_rate
from tests.support.codebooks import small_codebook

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


class TestAdapted:
    def test_facts_of_the_codec(self, model_set: ModelSet) -> None:
        codebook = small_codebook(model_set.encoder_fingerprint)
        model = load_transmitter_model(model_set, RATE, codec=codebook, codes_format=CodesFormat.SC16)
        high_snr = model.for_high_snr
        assert high_snr is not None
        assert (model.codec, high_snr.codec, model.weighs_noise) == ("adapted", "adapted-high-snr", True)
        assert model.codes_format is high_snr.codes_format is CodesFormat.SC16
        assert model.fingerprints == codebook.fingerprints()
        assert high_snr.fingerprints == codebook.fingerprints(is_high_snr=True)
        assert high_snr.graph is model.graph

    def test_every_rate_of_both_codes_is_the_code_of_the_features(
        self, model_set: ModelSet, pictures: dict[str, RGBImage]
    ) -> None:
        codebook = small_codebook(model_set.encoder_fingerprint)
        model = load_transmitter_model(model_set, RATE, codec=codebook)
        assert model.for_high_snr is not None
        for picture in pictures.values():
            tensor = preprocess(picture, model.preprocessing)
            features = model_set.load_encoder()(tensor[None])
            for each, code in ((model, codebook.code), (model.for_high_snr, codebook.code.for_high_snr())):
                for rate in RATES:
                    expected = quantize(normalize_power(pair_latent(code.latent(features)[:, : rate.latent_dim])))
                    # Rounding may fall either way.
                    assert np.abs(each.codes(tensor, rate) - expected[0].astype(int)).max() <= 1

    def test_a_file_that_cannot_be_read_says_where_it_comes_from(self, model_set: ModelSet, tmp_path: Path) -> None:
        path, whole = tmp_path / "codebook.npz", small_codebook(model_set.encoder_fingerprint).content
        middle = len(whole) // 2
        altered = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        for content in (None, b"", whole[:middle], altered, whole + bytes(MAX_CODEBOOK_BYTES)):
            if content is not None:
                path.write_bytes(content)
            with pytest.raises(ModelSetError) as caught:
                load_codebook(path, model_set)
            assert str(caught.value).startswith(f"{path}: ")
            assert str(caught.value).endswith("semlink kb export-codebook KB --out FILE")
            assert "\n" not in str(caught.value)

    def test_a_codebook_for_other_models_is_refused(
        self, model_set: ModelSet, other_model_set: ModelSet, tmp_path: Path
    ) -> None:
        path, codebook = tmp_path / "codebook.npz", small_codebook(other_model_set.encoder_fingerprint)
        path.write_bytes(codebook.content)
        assert load_codebook(path, other_model_set).sha256 == codebook.sha256
        with pytest.raises(ModelSetError, match="name the model set that the knowledge base was built with"):
            load_codebook(path, model_set)

    def test_the_codec_is_asked_for_by_its_file(self, model_set: ModelSet) -> None:
        with pytest.raises(ConfigError, match=r"no codec adapted; .* semlink tx --codebook"):
            load_transmitter_model(model_set, RATE, codec="adapted")


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
