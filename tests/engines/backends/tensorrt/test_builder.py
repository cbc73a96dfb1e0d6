"""What the builder asks of TensorRT, and what it says when it is refused; TensorRT itself is in test_tensorrt_rtx."""

from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnx
import pytest

from engines.backends.tensorrt.builder import WORKSPACE_BYTES, build_engine
from semlink.errors import EngineError

GRAPH = onnx.parser.parse_model(
    '<ir_version: 10, opset_import: ["" : 18]> g (float[batch, 4] x) => (float[batch, 4] y) { y = Relu (x) }'
).SerializeToString()


class FakeTimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return b"measured, " + self.content


class FakeBuilding(ModuleType):
    """A `tensorrt` that builds, and is its own builder, network and configuration."""

    def __init__(self) -> None:
        super().__init__("tensorrt")
        self.engine: bytes | None = b"engine"
        self.faults: list[SimpleNamespace] = []
        self.num_inputs = self.num_outputs = 1
        self.shape: tuple[int, ...] = (-1, 4)
        self.asked: dict[str, Any] = {}

        class ILogger:
            INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        class IProgressMonitor:
            pass

        self.ILogger, self.IProgressMonitor = ILogger, IProgressMonitor
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.BuilderFlag = SimpleNamespace(TF32="tf32")

    def Builder(self, log: Any) -> FakeBuilding:  # noqa: N802
        self.log = log
        return self

    def create_network(self, flags: int) -> FakeBuilding:
        self.asked["flags"] = flags
        return self

    def get_input(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(name="x", shape=self.shape)

    def OnnxParser(self, network: Any, log: Any) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(
            parse=lambda graph: not self.faults, num_errors=len(self.faults), get_error=self.faults.__getitem__
        )

    def create_builder_config(self) -> FakeBuilding:
        return self

    def create_optimization_profile(self) -> SimpleNamespace:
        return SimpleNamespace(set_shape=lambda *shapes: self.asked.update(profile=shapes))

    def add_optimization_profile(self, profile: Any) -> int:
        return 0

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.asked[pool] = size

    def clear_flag(self, flag: str) -> None:
        self.asked["without"] = flag

    def create_timing_cache(self, content: bytes) -> FakeTimingCache | None:
        return FakeTimingCache(content) if content.startswith((b"measured", b"other")) or not content else None

    def set_timing_cache(self, cache: FakeTimingCache, ignores_mismatch: bool) -> bool:
        assert not ignores_mismatch
        return not cache.content.startswith(b"other")

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        if "progress_monitor" in vars(self):
            self.progress_monitor.phase_start("Building", None, 4)
            if not self.progress_monitor.step_complete("Building", 0):
                return None
            self.progress_monitor.phase_finish("Building")
        if self.engine is None:
            self.log.log(self.ILogger.ERROR, "no implementation\n for node Relu")
        return self.engine


@pytest.fixture
def trt() -> FakeBuilding:
    return FakeBuilding()


def fault(operator: str, node: str, words: str) -> SimpleNamespace:
    return SimpleNamespace(node_operator=lambda: operator, node_name=lambda: node, desc=lambda: words)


def test_a_strongly_typed_network_for_one_image(trt: FakeBuilding) -> None:
    assert build_engine(GRAPH, tensorrt=trt) == b"engine"
    profile = ("x", (1, 4), (1, 4), (1, 4))
    assert trt.asked == {"flags": 2, "profile": profile, "workspace": WORKSPACE_BYTES, "without": "tf32"}


def test_every_free_axis_becomes_one(trt: FakeBuilding) -> None:
    trt.shape = (-1, 8, -1, 3)
    build_engine(GRAPH, tensorrt=trt, workspace_bytes=1 << 20)
    assert trt.asked["profile"][1] == (1, 8, 1, 3)
    assert trt.asked["workspace"] == 1 << 20


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([fault("Det", "strange", "no\n importer")], r"graph: Det strange: no importer$"),
        ([fault("", "", "cut short"), fault("Det", "b", "c")], r"graph: the model: cut short \(and 1 more\)$"),
    ],
)
def test_what_cannot_be_parsed_is_named(trt: FakeBuilding, faults: list[SimpleNamespace], message: str) -> None:
    trt.faults = faults
    with pytest.raises(EngineError, match=message):
        build_engine(GRAPH, tensorrt=trt)


def test_what_cannot_be_built_comes_with_tensorrts_words(trt: FakeBuilding) -> None:
    trt.engine = None
    with pytest.raises(EngineError, match=r"^TensorRT cannot build the graph: no implementation for node Relu$"):
        build_engine(GRAPH, tensorrt=trt)


def test_more_than_one_input(trt: FakeBuilding) -> None:
    trt.num_inputs = 2
    with pytest.raises(EngineError, match="one input and one output, got 2 and 1"):
        build_engine(GRAPH, tensorrt=trt)


def test_progress_and_what_interrupts_it(trt: FakeBuilding) -> None:
    observation: list[tuple[str, float]] = []
    build_engine(GRAPH, tensorrt=trt, on_progress=lambda phase, fraction: observation.append((phase, fraction)))
    assert observation == [("Building", 0.0), ("Building", 0.25), ("Building", 1.0)]

    def interrupt(phase: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(GRAPH, tensorrt=trt, on_progress=interrupt)


class TestTimingCache:
    def test_grows_from_build_to_build(self, trt: FakeBuilding, tmp_path: Path) -> None:
        path = tmp_path / "engines" / "gpu.timing"
        build_engine(GRAPH, tensorrt=trt, timing_cache=path)
        build_engine(GRAPH, tensorrt=trt, timing_cache=path)
        assert path.read_bytes() == b"measured, measured, "
        assert [file.name for file in path.parent.iterdir()] == ["gpu.timing"]

    @pytest.mark.parametrize("content", [b"damaged", b"other GPU"])
    def test_that_does_not_fit_is_measured_again(
        self, trt: FakeBuilding, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
    ) -> None:
        path = tmp_path / "gpu.timing"
        path.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            assert build_engine(GRAPH, tensorrt=trt, timing_cache=path) == b"engine"
        assert "gpu.timing: damaged, or of another GPU or TensorRT; measuring again" in caplog.text
        assert path.read_bytes() == b"measured, "

    def test_of_a_build_that_fails_is_as_it_was(self, trt: FakeBuilding, tmp_path: Path) -> None:
        path = tmp_path / "gpu.timing"
        path.write_bytes(b"measured")
        trt.engine = None
        with pytest.raises(EngineError):
            build_engine(GRAPH, tensorrt=trt, timing_cache=path)
        assert path.read_bytes() == b"measured"

    def test_that_cannot_be_kept_costs_no_engine(
        self, trt: FakeBuilding, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").touch()
        with caplog.at_level(logging.WARNING):
            assert build_engine(GRAPH, tensorrt=trt, timing_cache=tmp_path / "file" / "gpu.timing") == b"engine"
        assert "cannot be written (" in caplog.text
