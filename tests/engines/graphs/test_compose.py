"""The composed graph against its parts: encoder, codec, and `semlink.iq` in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from engines.backends.onnxruntime.cpu import OnnxRuntimeRunner
from engines.graphs.compose import compose_transmitter, iq_head
from engines.models.model_set import ModelSet
from engines.onnx_model import OPSET
from semlink.errors import EngineError
from semlink.iq import CodesFormat, dequantize, normalize_power, pair_latent, quantize
from semlink.rates import RATES, Rate, parse_rate
from tests.support.model_sets import make_model_set

INTEGER_FORMATS = (CodesFormat.SC8, CodesFormat.SC16)
RATE = parse_rate("16")

# Sums and quotients of float32 round differently in numpy and ONNX Runtime, so a value within
# 1e-6 of the middle between two codes may fall on either side: never by more than one code, and
# as rarely as such ties are.
MAX_CODE_DIFFERENCE = 1
MAX_TIE_SHARE = {CodesFormat.SC8: 1e-4, CodesFormat.SC16: 2e-3}


def numpy_codes(latent: np.ndarray, codes_format: CodesFormat) -> np.ndarray:
    return quantize(normalize_power(pair_latent(latent)), codes_format)


def assert_same_codes(codes: np.ndarray, expected: np.ndarray, codes_format: CodesFormat) -> None:
    assert codes.dtype == expected.dtype == codes_format.dtype
    assert codes.shape == expected.shape
    difference = np.abs(codes.astype(np.int32) - expected.astype(np.int32))
    assert difference.max(initial=0) <= MAX_CODE_DIFFERENCE
    assert np.mean(difference > 0) <= MAX_TIE_SHARE[codes_format]


@pytest.fixture(scope="module")
def heads() -> dict[CodesFormat, OnnxRuntimeRunner]:
    return {f: OnnxRuntimeRunner(iq_head([RATE], f).SerializeToString()) for f in INTEGER_FORMATS}


class TestHead:
    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    @pytest.mark.parametrize("rate", RATES, ids=lambda rate: str(rate.num_symbols))
    def test_is_semlink_iq(self, rate: Rate, codes_format: CodesFormat) -> None:
        head = OnnxRuntimeRunner(iq_head([rate], codes_format).SerializeToString())
        latent = np.random.default_rng(0).standard_normal((200, rate.latent_dim)).astype(np.float32) * 3
        assert_same_codes(head(latent), numpy_codes(latent, codes_format), codes_format)

    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    def test_of_two_codes_gives_all_rates_of_each(self, codes_format: CodesFormat) -> None:
        rates, longest = [RATES[2], RATES[0], RATES[1]], RATES[2].latent_dim
        head = OnnxRuntimeRunner(iq_head(rates, codes_format, num_codes=2).SerializeToString())
        latent = np.random.default_rng(0).standard_normal((50, 2 * longest)).astype(np.float32)
        parts = [latent[:, start : start + rate.latent_dim] for start in (0, longest) for rate in rates]
        expected = np.concatenate([numpy_codes(part, codes_format) for part in parts], axis=1)
        assert_same_codes(head(latent), expected, codes_format)

    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    @settings(deadline=None)
    @given(
        latent=hnp.arrays(
            np.float32, st.tuples(st.integers(1, 3), st.just(32)), elements=st.floats(-1e6, 1e6, width=32)
        )
    )
    def test_is_within_a_code_for_any_latent(
        self, heads: dict[CodesFormat, OnnxRuntimeRunner], codes_format: CodesFormat, latent: np.ndarray
    ) -> None:
        codes, expected = heads[codes_format](latent), numpy_codes(latent, codes_format)
        assert np.abs(codes.astype(np.int32) - expected).max() <= MAX_CODE_DIFFERENCE

    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    def test_image_does_not_depend_on_its_batch(
        self, heads: dict[CodesFormat, OnnxRuntimeRunner], codes_format: CodesFormat
    ) -> None:
        scales = np.array([[1], [100], [1e-3], [7], [1]], np.float32)
        latent = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32) * scales
        together = heads[codes_format](latent)
        for row in range(5):
            np.testing.assert_array_equal(heads[codes_format](latent[row : row + 1])[0], together[row])

    def test_symbols_have_unit_power(self, heads: dict[CodesFormat, OnnxRuntimeRunner]) -> None:
        latent = np.random.default_rng(0).standard_normal((8, 32)).astype(np.float32) * 50
        symbols = dequantize(heads[CodesFormat.SC16](latent), CodesFormat.SC16)
        np.testing.assert_allclose(np.mean(np.abs(symbols) ** 2, axis=-1), 1.0, rtol=1e-3)

    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    def test_clips_as_numpy_does(self, codes_format: CodesFormat) -> None:
        """All the power in one real of 2 n: sqrt(n) of amplitude, beyond full scale from n = 128 on."""
        rate = parse_rate("128")
        latent = np.zeros((1, rate.latent_dim), dtype=np.float32)
        latent[0, 5] = -3.0
        codes = OnnxRuntimeRunner(iq_head([rate], codes_format).SerializeToString())(latent)
        assert codes.min() == -codes_format.max_code
        np.testing.assert_array_equal(codes, numpy_codes(latent, codes_format))

    def test_silence_is_sent_as_silence(self, heads: dict[CodesFormat, OnnxRuntimeRunner]) -> None:
        assert not heads[CodesFormat.SC8](np.zeros((2, 32), dtype=np.float32)).any()

    def test_cf32_has_nothing_to_quantize(self) -> None:
        with pytest.raises(EngineError, match="cf32 is an interchange format"):
            iq_head([RATE], CodesFormat.CF32)


class TestComposition:
    @pytest.fixture(scope="class")
    @staticmethod
    def images() -> np.ndarray:
        return np.random.default_rng(1).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)

    @pytest.mark.parametrize("codes_format", INTEGER_FORMATS)
    @pytest.mark.parametrize("rate", [parse_rate("16"), parse_rate("64")], ids=["16", "64"])
    def test_is_its_parts(self, model_set: ModelSet, images: np.ndarray, rate: Rate, codes_format: CodesFormat) -> None:
        composed = OnnxRuntimeRunner(
            compose_transmitter([model_set.encoder_path, model_set.codec().encoder_path(rate)], [rate], codes_format)
        )
        features = model_set.load_encoder()(images)
        latent = model_set.codec().load_encoder(rate)(features)
        codes = composed(images)
        head = OnnxRuntimeRunner(iq_head([rate], codes_format).SerializeToString())
        # The same runtime runs the same operators: to the bit.
        np.testing.assert_array_equal(codes, head(latent))
        assert_same_codes(codes, numpy_codes(latent, codes_format), codes_format)

    def test_batch_of_one_and_of_many(self, model_set: ModelSet, images: np.ndarray) -> None:
        """One image alone may take another matrix kernel: within a code, as parts and numpy are."""
        composed = OnnxRuntimeRunner(
            compose_transmitter([model_set.encoder_path, model_set.codec().encoder_path(RATE)], [RATE])
        )
        alone = np.concatenate([composed(image[None]) for image in images])
        difference = np.abs(alone.astype(np.int32) - composed(images))
        assert difference.max() <= MAX_CODE_DIFFERENCE
        assert np.mean(difference > 0) <= 1e-2

    def test_ends_are_named(self, model_set: ModelSet) -> None:
        graph = compose_transmitter([model_set.encoder_path, model_set.codec().encoder_path(RATE)], [RATE])
        runner = OnnxRuntimeRunner(graph)
        assert str(runner.input) == "image: uint8 (?, 8, 8, 3)"
        assert str(runner.output) == "codes: int8 (?, 16, 2)"
        onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)

    def test_same_parts_same_bytes(self, model_set: ModelSet) -> None:
        """An engine's cache is keyed by the graph's hash."""
        parts = [model_set.encoder_path, model_set.codec().encoder_path(RATE)], [RATE]
        assert compose_transmitter(*parts) == compose_transmitter(*parts)


class TestMisfits:
    def save(self, path: Path, takes: list[object], gives: list[object], opset: int = OPSET) -> Path:
        """A graph that sums over everything but the batch, and spreads the sum."""
        nodes = [
            helper.make_node("Cast", ["in"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["real", "weight"], ["out"]),
        ]
        weight = numpy_helper.from_array(np.ones((takes[-1], gives[-1]), np.float32), "weight")
        graph = helper.make_graph(
            nodes,
            path.stem,
            [helper.make_tensor_value_info("in", TensorProto.FLOAT, takes)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, gives)],
            [weight],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
        return path

    def test_codec_of_another_feature_length(self, model_set: ModelSet, tmp_path: Path) -> None:
        codec = self.save(tmp_path / "codec.onnx", ["batch", 17], ["batch", 32])
        with pytest.raises(
            EngineError, match=r"features: float \(\?, 16\) does not fit the input codec/in: float \(\?, 17\)"
        ):
            compose_transmitter([model_set.encoder_path, codec], [RATE])

    def test_codec_of_another_rate(self, model_set: ModelSet, tmp_path: Path) -> None:
        """Without the check, a batch of 16 latents of 30 would become 15 images of 32."""
        codec = self.save(tmp_path / "codec.onnx", ["batch", 16], ["batch", 30])
        with pytest.raises(
            EngineError, match=r"out: float \(\?, 30\) does not fit the input iq_head/latent: float \(\?, 32\)"
        ):
            compose_transmitter([model_set.encoder_path, codec], [RATE])

    def test_other_operator_set(self, model_set: ModelSet, tmp_path: Path) -> None:
        codec = self.save(tmp_path / "codec.onnx", ["batch", 16], ["batch", 32], opset=13)
        with pytest.raises(EngineError, match=r"encoder\.onnx and codec\.onnx do not compose"):
            compose_transmitter([model_set.encoder_path, codec], [RATE])

    def test_two_outputs(self, model_set: ModelSet, tmp_path: Path) -> None:
        codec = self.save(tmp_path / "codec.onnx", ["batch", 16], ["batch", 32])
        model = onnx.load(codec)
        model.graph.output.append(helper.make_tensor_value_info("real", TensorProto.FLOAT, ["batch", 16]))
        onnx.save(model, codec)
        with pytest.raises(EngineError, match="has 2 outputs, expected one"):
            compose_transmitter([model_set.encoder_path, codec], [RATE])

    @pytest.mark.parametrize("content", [b"", b"not protobuf at all", bytes(100)])
    def test_no_graph(self, model_set: ModelSet, tmp_path: Path, content: bytes) -> None:
        garbage = tmp_path / "codec.onnx"
        garbage.write_bytes(content)
        with pytest.raises(EngineError, match=r"codec\.onnx"):
            compose_transmitter([model_set.encoder_path, garbage], [RATE])

    def test_missing_file(self, model_set: ModelSet, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match="not an ONNX graph: FileNotFoundError"):
            compose_transmitter([tmp_path / "gone.onnx", model_set.codec().encoder_path(RATE)], [RATE])


def test_make_model_set_is_reproducible(tmp_path: Path) -> None:
    first, second = (make_model_set(tmp_path / name, rates=(16,)) for name in ("a", "b"))
    assert first.codec().fingerprint(RATE) == second.codec().fingerprint(RATE)
