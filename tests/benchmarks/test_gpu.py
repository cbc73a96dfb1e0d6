"""`make bench-gpu` on a CPU: the same code at smaller sizes, with wrong results and with missing packages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs semlink[train]")

import numpy as np
import torch

from benchmarks.cli import run_command
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import decoder as gpu_decoder
from benchmarks.gpu import encoders as gpu_encoders
from benchmarks.gpu import search as gpu_search
from benchmarks.gpu import timing as gpu_timing
from benchmarks.gpu.encoders import VisionTransformer
from benchmarks.report.schemas import DeviceReport
from edge_rx.kb.gpu_search import GpuSearch, SearchPrecision
from engines.backends.onnxruntime.cpu import OnnxRuntimeRunner
from engines.backends.runner import DeviceView
from semlink.report import read_report
from tests.support.processes import run_python

ROOT = Path(__file__).parents[2]
SMALL = ["--sizes", "5000", "--kb-entries", "40", "--rounds", "2", "--warm-up", "1"]
QUICK = ["--device", "cpu", "--threads", "1", *SMALL]


@pytest.fixture(autouse=True)
def torch_settings_stay() -> Iterator[None]:
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    allow_tf32 = torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = allow_tf32


def exit_code(*options: str) -> object:
    with pytest.raises(SystemExit) as ended:
        run_command(gpu.main, "benchmarks.gpu", options)
    return ended.value.code


def run(tmp_path: Path, *options: str) -> tuple[object, DeviceReport]:
    out = tmp_path / "latency-gpu.json"
    code = exit_code(*QUICK, *options, "--out", str(out))
    return code, read_report(out, DeviceReport)


def test_everything_that_a_cpu_can_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="needs semlink[cpu]")
    monkeypatch.setattr(gpu_encoders, "VisionTransformer", partial(VisionTransformer, num_layers=1))
    code, report = run(tmp_path)
    assert (code, report.failed) == (0, [])
    searched = [f"decode_and_search_5000_x_512_{p}_top_{k}_torch" for p in ("fp32", "fp16") for k in (1, 64)]
    assert {stage.name for stage in report.stages} == {
        *searched,
        *(f"search_5000_x_512_fp32_faiss_top_{count}" for count in (1, 64)),
        *(f"image_to_codes_vit_b32_{precision}_torch" for precision in ("fp32", "fp16")),
        *(f"image_to_codes_builtin_{precision}_onnxruntime_cpu" for precision in ("fp32", "fp16")),
        "end_to_end_loopback_40_entries_nested_onnxruntime_fp32_search_cpu_fp32",
        "end_to_end_loopback_40_entries_kbsc_onnxruntime_fp32_decoder_onnxruntime_search_cpu_fp32",
    }
    for stage in report.stages:
        assert (stage.notes["device"], stage.num_samples, stage.notes["clock"]) == ("cpu", 2, "host wall")
        assert str(stage.notes["precision"]) in stage.name
        assert stage.p50_ms is not None
        assert stage.p99_ms is not None
        assert 0 < stage.p50_ms <= stage.p99_ms
        assert stage.is_end_to_end == stage.name.startswith("end_to_end")
    assert {stage.bytes_moved for stage in report.stages if stage.name.startswith("search_5000_x_512_fp32")} == {
        5000 * 512 * 4
    }
    skipped = {part.name: part.reason for part in report.skipped}
    assert skipped.keys() == {
        *(f"{name}_cuda_graph" for name in searched),
        *(f"image_to_codes_vit_b32_{precision}_torch_cuda_graph" for precision in ("fp32", "fp16")),
        *(f"image_to_codes_builtin_{precision}_tensorrt" for precision in ("fp32", "fp16")),
        "search_5000_x_512_fp16_faiss",
        *(f"decode_and_search_5000_x_512_{precision}_gpu_decoder" for precision in ("fp32", "fp16")),
        *(
            f"end_to_end_loopback_40_entries_{codec}_{transmitter}_{receiver}"
            for transmitter in ("onnxruntime_fp32", "tensorrt_fp32", "tensorrt_fp16")
            for codec, receiver in (
                *(("nested", f"search_{search}") for search in ("cpu_fp32", "gpu_fp32", "gpu_fp16")),
                ("kbsc", "decoder_onnxruntime_search_cpu_fp32"),
                ("kbsc", "decoder_onnxruntime_search_gpu_fp16"),
                ("kbsc", "decoder_tensorrt_search_gpu_fp16"),
            )
            if not (transmitter == "onnxruntime_fp32" and receiver.endswith("cpu_fp32"))
        ),
    }
    assert all(skipped.values())


@pytest.mark.parametrize("is_wrong", [False, True])
def test_our_decoder_and_search_in_every_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_wrong: bool) -> None:
    """On fakes of TensorRT and FAISS's classes for GPUs; a match that is not the CPU's is an error."""
    pytest.importorskip("faiss", reason="needs semlink[cpu]")
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "edge_rx"))
    from tests.support.recording_faiss import RecordingFaiss

    class HostRunner:
        def __init__(self, graph: bytes, **options: object) -> None:
            self._run = OnnxRuntimeRunner(graph)
            self.input = self._run.input

        def on_device(self, tensor: np.ndarray) -> DeviceView:
            self._output = self._run(tensor) * (-1 if is_wrong else 1)
            return DeviceView(self._output.ctypes.data, self._output.shape)

    monkeypatch.setattr("engines.backends.tensorrt.runner.TensorRtRunner", HostRunner)
    monkeypatch.setattr(gpu_timing.DeviceBench, "require_tensorrt", lambda bench: None)
    monkeypatch.setattr(
        gpu_decoder, "open_search_device", lambda device, precision: GpuSearch(RecordingFaiss(), precision)
    )
    code, report = run(tmp_path, "--parts", "decoder")
    stems = [f"decode_and_search_5000_x_512_{precision}_gpu_decoder" for precision in ("fp32", "fp16")]
    names = [f"{stem}_engine_batch_{batches}_frames" for stem in stems for batches in ("1_of_1", "16_of_1", "16_of_16")]
    assert report.skipped == []
    if is_wrong:
        assert (code, report.stages) == (1, [])
        assert [part.name for part in report.failed] == names
        assert all("found" in part.reason for part in report.failed)
    else:
        assert (code, report.failed) == (0, [])
        assert [stage.name for stage in report.stages] == names
        batches = [(stage.notes["engine_batch"], stage.notes["frames"]) for stage in report.stages]
        assert batches == 2 * [(1, 1), (16, 1), (16, 16)]


@pytest.mark.parametrize(
    ("entry_id", "score", "passes_in"),
    [(7, 0.5, ""), (8, 0.501, "fp16"), (8, 0.503, "neither"), (8, 0.497, "neither")],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_links_matches_are_the_cpus(entry_id: int, score: float, passes_in: str, precision: str) -> None:
    """In half precision also entries with a similar score."""
    pytest.importorskip("zmq")
    from benchmarks.gpu.link import MatchChecker

    expected: Any = SimpleNamespace(entry_id=7, score=0.5, source="other-9.png")
    found: Any = SimpleNamespace(entry_id=entry_id, score=score, source="other-9.png")
    check = MatchChecker(
        [expected] * 4, "kbsc", gpu_search.TOLERANCE[SearchPrecision.FP16] if precision == "fp16" else None
    )
    if passes_in in ("", precision):
        check(0, found)
    else:
        with pytest.raises(RuntimeError, match=r"image 0: found entry 8 .* the CPU finds 7"):
            check(0, found)


def test_a_wrong_result_is_reported_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tolerances = dict.fromkeys(SearchPrecision, -1.0)
    tolerances[SearchPrecision.FP16] = 2e-3
    monkeypatch.setattr(gpu_search, "TOLERANCE", tolerances)
    code, report = run(tmp_path, "--parts", "search")
    assert code == 1
    assert "decode_and_search_5000_x_512_fp32_top_1_torch" in {part.name for part in report.failed}
    assert "cosines differ from the CPU's by" in report.failed[0].reason
    assert {stage.notes["precision"] for stage in report.stages} == {"fp16"}


def test_what_does_not_fit_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_timing, "host_free_bytes", lambda: 2**20)
    code, report = run(tmp_path, "--parts", "search")
    assert (code, report.stages) == (0, [])
    (skipped,) = report.skipped
    assert skipped.name == "cosines on the CPU, 5000 x 512"
    assert "GiB of the host, of which 0.0 GiB are free" in skipped.reason


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--parts", "vit,tower"], "no part tower; choose from vit, builtin"),
        (["--sizes", "5000,-1"], "--sizes takes whole numbers"),
        (["--rounds", "0"], "--rounds"),
    ],
)
def test_wrong_options_are_refused(
    tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("--device", "cpu", *options, "--out", str(tmp_path / "x.json")) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--out", str(tmp_path / "x.json")) == 2
    assert capsys.readouterr().err.startswith("error: no CUDA device that torch can use")
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_it_runs_on_a_machine_that_has_little(tmp_path: Path) -> None:
    """torch, ONNX Runtime, onnx and the packages of step 1 of docs/gpu-machine.md."""
    code = (
        "import importlib.abc, sys\n"
        "blocked = {'faiss', 'zmq', 'sklearn', 'skimage', 'matplotlib', 'scipy'}\n"
        "class Blocker(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in blocked:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from benchmarks.cli import run_command\n"
        "from benchmarks.gpu.__main__ import main\n"
        "run_command(main, 'benchmarks.gpu')\n"
    )
    out = tmp_path / "gpu.json"
    options = [*QUICK, "--parts", "search,builtin,decoder,link", "--out", str(out)]
    done = run_python("-c", code, *options, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    reasons = {part.name: part.reason for part in read_report(out, DeviceReport).skipped}
    assert reasons["link"] == "not installed: zmq"
    assert reasons["decode_and_search_5000_x_512_fp16_gpu_decoder"].startswith(("not installed", "TensorRT needs"))
    assert "needs faiss" in reasons["search_5000_x_512_fp32_faiss"]
    assert reasons["image_to_codes_builtin_fp32_tensorrt"].startswith(("not installed: ", "TensorRT needs a GPU"))


def test_the_tower_has_the_weights_of_clips() -> None:
    """87,849,216, as OpenAI's ViT-B/32 has without its text tower."""
    with torch.device("meta"):
        tower = VisionTransformer()
    assert sum(weights.numel() for weights in tower.parameters()) == 87_849_216
    assert tower(torch.zeros((2, 3, 224, 224), device="meta")).shape == (2, 512)
