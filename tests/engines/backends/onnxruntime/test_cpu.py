"""The ONNX Runtime backend, and the choice of a backend."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engines.backends.onnxruntime.cpu import OnnxRuntimeRunner
from engines.backends.runner import TensorSpec, check_specs, load_runner
from engines.backends.target import BACKENDS
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, MissingDependencyError
from semlink.rates import parse_rate

RATE = parse_rate("16")


def graph_of(
    operator: str,
    *,
    takes: tuple[str, ...] = ("x",),
    gives: tuple[str, ...] = ("y",),
    dtype: int = TensorProto.FLOAT,
    domain: str = "",
    **attributes: object,
) -> bytes:
    tensors = [[helper.make_tensor_value_info(name, dtype, ["batch", 4]) for name in names] for names in (takes, gives)]
    node = helper.make_node(operator, list(takes), list(gives), domain=domain, **attributes)
    opsets = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(helper.make_graph([node], "g", *tensors), opset_imports=opsets, ir_version=10)
    return model.SerializeToString()


class TestRunning:
    def test_file_and_bytes(self, model_set: ModelSet) -> None:
        features = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
        path = model_set.codec().encoder_path(RATE)
        np.testing.assert_array_equal(OnnxRuntimeRunner(path)(features), OnnxRuntimeRunner(path.read_bytes())(features))

    def test_matches_numpy(self) -> None:
        tensor = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
        np.testing.assert_array_equal(OnnxRuntimeRunner(graph_of("Relu"))(tensor), np.maximum(tensor, 0))

    @pytest.mark.parametrize("batch", [0, 1, 7])
    def test_any_batch(self, batch: int) -> None:
        assert OnnxRuntimeRunner(graph_of("Relu"))(np.ones((batch, 4), np.float32)).shape == (batch, 4)

    def test_strided_and_read_only_input(self) -> None:
        wide = np.arange(24, dtype=np.float32).reshape(3, 8)
        view = wide[:, ::2]
        view.setflags(write=False)
        np.testing.assert_array_equal(OnnxRuntimeRunner(graph_of("Neg"))(view), -wide[:, ::2])

    def test_describes_itself(self) -> None:
        runner = OnnxRuntimeRunner(graph_of("Relu"), num_threads=2)
        assert runner.description.startswith("onnxruntime ")
        assert runner.description.endswith("CPU, fp32, 2 thread(s)")
        assert (str(runner.input), str(runner.output)) == ("x: float32 (?, 4)", "y: float32 (?, 4)")


class TestInputChecks:
    @pytest.mark.parametrize(
        ("tensor", "received"),
        [
            (np.zeros((1, 5), np.float32), r"float32 \(1, 5\)"),
            (np.zeros((4,), np.float32), r"float32 \(4,\)"),
            (np.zeros((1, 1, 4), np.float32), r"float32 \(1, 1, 4\)"),
            (np.zeros((1, 4), np.float64), r"float64 \(1, 4\)"),
            (np.zeros((1, 4), np.uint8), r"uint8 \(1, 4\)"),
        ],
    )
    def test_names_tensor_expected_and_received(self, tensor: np.ndarray, received: str) -> None:
        runner = OnnxRuntimeRunner(graph_of("Relu"))
        with pytest.raises(
            EngineError, match=rf"composed graph: input expects x: float32 \(\?, 4\), received {received}"
        ):
            runner(tensor)

    def test_names_the_file(self, model_set: ModelSet) -> None:
        runner = model_set.codec().load_encoder(RATE)
        with pytest.raises(EngineError, match=r"codec-16\.encoder\.onnx: input expects features"):
            runner(np.zeros((1, 3), np.float32))

    def test_failure_while_running(self) -> None:
        """Shapes that only fail when they are known: an error of ours, and nothing on stderr."""
        reshape = helper.make_node("Reshape", ["x", "shape"], ["y"])
        shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 3])
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "k"]) for name in ("x", "y")]
        graph = helper.make_graph([reshape], "g", ends[:1], ends[1:], [shape])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        runner = OnnxRuntimeRunner(model.SerializeToString())
        assert runner(np.zeros((3, 4), np.float32)).shape == (4, 3)
        with pytest.raises(EngineError, match=r"composed graph: ONNX Runtime cannot run it: .*Reshape"):
            runner(np.zeros((1, 4), np.float32))


class TestLoading:
    @pytest.mark.parametrize("content", [b"", b"no graph", bytes(64)])
    def test_garbage_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "garbage.onnx"
        path.write_bytes(content)
        with pytest.raises(EngineError, match=r"^garbage\.onnx: ONNX Runtime cannot load it: \S") as caught:
            OnnxRuntimeRunner(path)
        assert "\n" not in str(caught.value)

    def test_garbage_bytes(self) -> None:
        with pytest.raises(EngineError, match=r"^composed graph: ONNX Runtime cannot load it"):
            OnnxRuntimeRunner(b"no graph")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match=r"gone\.onnx: ONNX Runtime cannot load it"):
            OnnxRuntimeRunner(tmp_path / "gone.onnx")

    def test_truncated_file(self, model_set: ModelSet, tmp_path: Path) -> None:
        path = tmp_path / "half.onnx"
        path.write_bytes(model_set.encoder_path.read_bytes()[:500])
        with pytest.raises(EngineError, match=r"half\.onnx: ONNX Runtime cannot load it"):
            OnnxRuntimeRunner(path)

    @pytest.mark.parametrize(("operator", "domain"), [("NoSuchOperator", ""), ("Relu", "com.example")])
    def test_unsupported_operator_is_named(self, operator: str, domain: str) -> None:
        with pytest.raises(EngineError, match=f"ONNX Runtime cannot load it: .*{operator}"):
            OnnxRuntimeRunner(graph_of(operator, domain=domain))

    def test_two_inputs(self) -> None:
        with pytest.raises(EngineError, match="expected one input, the graph has 2"):
            OnnxRuntimeRunner(graph_of("Add", takes=("x", "z")))

    def test_two_outputs(self) -> None:
        with pytest.raises(EngineError, match="expected one output, the graph has 2"):
            OnnxRuntimeRunner(graph_of("Split", gives=("y", "z"), axis=0, num_outputs=2))

    def test_element_type_that_the_link_does_not_use(self) -> None:
        with pytest.raises(EngineError, match=r"input x is a tensor\(double\), which the link does not use"):
            OnnxRuntimeRunner(graph_of("Neg", dtype=TensorProto.DOUBLE))

    @pytest.mark.parametrize("num_threads", [0, -1])
    def test_bad_threads(self, num_threads: int) -> None:
        with pytest.raises(EngineError, match=f"num_threads must be at least 1, got {num_threads}"):
            OnnxRuntimeRunner(graph_of("Relu"), num_threads=num_threads)


class TestChoice:
    def test_auto_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "engines.backends.target"):
            runner = load_runner(graph_of("Relu"))
        assert isinstance(runner, OnnxRuntimeRunner)
        assert "backend auto: chose onnxruntime" in caplog.text

    def test_unknown_backend_names_the_known(self) -> None:
        with pytest.raises(ConfigError, match='backend "openvino" is not known; choose from: auto, onnxruntime'):
            load_runner(graph_of("Relu"), backend="openvino")

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_backend_that_cannot_load_is_an_error_and_no_fallback(self, backend: str) -> None:
        with pytest.raises((EngineError, MissingDependencyError)):
            load_runner(b"no graph", backend=backend)


class TestSpecs:
    SPEC = TensorSpec("latent", np.dtype(np.float32), (None, 32))

    @pytest.mark.parametrize(
        ("dtype", "shape", "fits"),
        [
            (np.float32, (1, 32), True),
            (np.float32, (None, 32), True),
            (np.float32, (5, None), True),
            (np.float32, (1, 31), False),
            (np.float32, (32,), False),
            (np.float64, (1, 32), False),
        ],
    )
    def test_accepts(self, dtype: type, shape: tuple[int | None, ...], fits: bool) -> None:
        assert self.SPEC.accepts(np.dtype(dtype), shape) is fits

    def test_graph_is_not_what_was_promised(self) -> None:
        runner = OnnxRuntimeRunner(graph_of("Relu"))
        fine = TensorSpec("x", np.dtype(np.float32), (None, 4))
        check_specs(runner, graph="g", expected_input=fine, expected_output=fine)
        with pytest.raises(
            EngineError, match=r"g: expected latent: float32 \(\?, 32\), the graph has y: float32 \(\?, 4\)"
        ):
            check_specs(runner, graph="g", expected_input=fine, expected_output=self.SPEC)


def test_graphs_of_these_tests_are_valid() -> None:
    """So that a refusal is the runtime's own."""
    onnx.checker.check_model(onnx.load_from_string(graph_of("Relu")))
