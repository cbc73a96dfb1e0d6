"""Composed transmitters: from an image to the codes of every rate of a model set's codecs, and of `adapted`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.backends.runner import load_runner
from engines.graphs.transmitter import transmitter_graph
from engines.models.codebook import Codebook
from engines.models.codecs import NestedCodec
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from engines.models.model_set import ModelSet
from semlink.errors import ModelSetError
from semlink.iq import CodesFormat, normalize_power, pair_latent, quantize
from semlink.rates import RATES, Rate, parse_rate
from tests.support.codebooks import small_codebook
from tests.support.model_sets import make_model_set

RATE = parse_rate("16")
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    folder = tmp_path_factory.mktemp("models") / "nested"
    return make_model_set(folder, rates=(16,), nested=True, sends_codeword=True)


def codes_of(code: Codebook, features: np.ndarray, rate: Rate, codes_format: CodesFormat) -> np.ndarray:
    return quantize(normalize_power(pair_latent(code.latent(features)[:, : rate.latent_dim])), codes_format)


@pytest.mark.parametrize("codec", ["adapted", "nested-cells"])
@pytest.mark.parametrize(("codes_format", "steps"), [(CodesFormat.SC8, 1), (CodesFormat.SC16, 3)])
def test_one_graph_has_both_codes_of_every_rate(
    models: ModelSet, codec: str, codes_format: CodesFormat, steps: int
) -> None:
    codebook = small_codebook(models.encoder_fingerprint)
    graph = transmitter_graph(models, RATE, codec=codebook if codec == "adapted" else codec, codes_format=codes_format)
    nested = models.codec("nested-cells")
    assert isinstance(nested, NestedCodec)
    code = codebook.code if codec == "adapted" else nested.codebook
    codes, features = load_runner(graph.onnx)(IMAGES), models.load_encoder()(IMAGES)
    high_snr = graph.high_snr_code
    assert high_snr is not None
    assert graph.weighs_noise
    assert graph.sends_codewords
    assert (graph.code.codec, high_snr.codec) == (codec, f"{codec}-high-snr")
    for each, of_each in ((graph.code, code), (high_snr, code.for_high_snr())):
        for rate in RATES:
            expected = codes_of(of_each, features, rate, codes_format)
            # Rounding may fall either way.
            assert np.abs(codes[:, each.slices[rate]].astype(int) - expected.astype(int)).max() <= steps
    # Every code has its own symbols, and no symbol is left over.
    slices = [*graph.code.slices.values(), *high_snr.slices.values()]
    numbers = np.concatenate([np.arange(each.start, each.stop) for each in slices])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(codes.shape[1]))


def test_frames_have_the_fingerprints_of_the_codec(models: ModelSet) -> None:
    codebook, nested = small_codebook(models.encoder_fingerprint), models.codec("nested-cells")
    assert isinstance(nested, NestedCodec)
    sources: list[tuple[KnowledgeBaseCodebook | str, KnowledgeBaseCodebook | NestedCodec]] = [
        (codebook, codebook),
        ("nested-cells", nested),
    ]
    for codec, source in sources:
        graph = transmitter_graph(models, RATE, codec=codec)
        assert graph.high_snr_code is not None
        for rate in RATES:
            assert graph.code.fingerprints[rate] == source.fingerprint(rate)
            assert graph.high_snr_code.fingerprints[rate] == source.fingerprint(rate, is_high_snr=True)


def test_a_code_without_cells_is_one_code(models: ModelSet) -> None:
    """It has no choice of power, and so one code of every rate and one set of fingerprints."""
    graph, nested = transmitter_graph(models, RATE, codec="nested"), models.codec("nested")
    assert isinstance(nested, NestedCodec)
    codes, features = load_runner(graph.onnx)(IMAGES), models.load_encoder()(IMAGES)
    assert (graph.high_snr_code, graph.weighs_noise, graph.sends_codewords) == (None, True, False)
    assert graph.code.fingerprints == {rate: nested.fingerprint(rate) for rate in RATES}
    assert codes.shape[1] == sum(rate.num_symbols for rate in RATES)
    for rate in RATES:
        expected = codes_of(nested.codebook, features, rate, CodesFormat.SC8)
        assert np.abs(codes[:, graph.code.slices[rate]].astype(int) - expected.astype(int)).max() <= 1


def test_a_codec_of_one_rate_has_that_rate_alone(models: ModelSet) -> None:
    graph = transmitter_graph(models, RATE)
    assert graph.code.codec == "synthetic-codec"
    assert graph.code.slices == {RATE: slice(0, 16)}
    assert graph.code.fingerprints == {RATE: models.codec().fingerprint(RATE)}
    assert graph.high_snr_code is None
    assert not graph.weighs_noise
    with pytest.raises(ModelSetError, match="256 symbols"):
        transmitter_graph(models, parse_rate("256"))


def test_a_codebook_for_another_encoder_is_refused(models: ModelSet, other_model_set: ModelSet) -> None:
    with pytest.raises(ModelSetError, match="name the model set that the knowledge base was built with"):
        transmitter_graph(models, RATE, codec=small_codebook(other_model_set.encoder_fingerprint))


def test_a_codebook_goes_with_an_encoder_at_another_precision(models: ModelSet, tmp_path: Path) -> None:
    """A graph in the encoder's place, here the same one."""
    copied = tmp_path / "encoder.onnx"
    copied.write_bytes(models.encoder_path.read_bytes())
    codebook = small_codebook(models.encoder_fingerprint)
    graph, of_copy = (transmitter_graph(models, RATE, codec=codebook, encoder=encoder) for encoder in (None, copied))
    np.testing.assert_array_equal(load_runner(graph.onnx)(IMAGES), load_runner(of_copy.onnx)(IMAGES))
