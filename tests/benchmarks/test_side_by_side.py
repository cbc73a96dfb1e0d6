"""What `make bench-side-by-side` compares, with a small network in place of CLIP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

import torch
from PIL import Image
from torch import nn

from benchmarks import same_models, side_by_side
from benchmarks.engine_sections import side_by_side_section
from benchmarks.report.files import read_bench_file
from benchmarks.same_models import SIZE_PX, Link, as_model_set, knowledge_base_of
from benchmarks.torch_eager import FEATURE_DIM, TorchEager
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.machine import write_report
from trainer.codecs.kbsc import KbscNetwork

OURS = [f"semlink, {name}" for name in ("ViT-B/32, fp32", "ViT-B/32, int8", "built-in encoder and nested, fp32")]


class SmallClip(nn.Module):
    """Products of matrices, as a transformer's are, and few of them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(147, 256), nn.GELU(), nn.Linear(256, FEATURE_DIM))

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(nn.functional.avg_pool2d(pixels, 32).flatten(1))


def preprocess_as_torchvision(picture: Image.Image) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
    mean, std = torch.tensor([122.77, 116.75, 104.09]), torch.tensor([68.5, 66.63, 70.32])
    return (pixels - mean[:, None, None]) / std[:, None, None]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    coarse = np.random.default_rng(0).integers(0, 256, (4, 7, 7, 3), dtype=np.uint8)
    return [np.kron(patches, np.ones((SIZE_PX // 7, SIZE_PX // 7, 1), np.uint8)) for patches in coarse]


def small_eager() -> TorchEager:
    torch.manual_seed(0)
    codec = KbscNetwork(FEATURE_DIM, side_by_side.RATE.latent_dim).eval()
    return TorchEager(SmallClip().eval(), preprocess_as_torchvision, codec)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """Exported once: what `small_eager` gives has the same weights each time."""
    eager = small_eager()
    return as_model_set(tmp_path_factory.mktemp("side-by-side"), eager.clip, eager.codec, side_by_side.RATE)


@pytest.fixture
def eager(models: ModelSet, monkeypatch: pytest.MonkeyPatch) -> TorchEager:
    monkeypatch.setattr(side_by_side, "as_model_set", lambda folder, clip, codec, rate: models)
    return small_eager()


@pytest.fixture(autouse=True)
def _few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "NUM_KB_ENTRIES", 20)
    monkeypatch.setattr(side_by_side, "WARM_UP", 1)


def test_every_path_of_all_is_timed_and_compared(eager: TorchEager, pictures: list[np.ndarray], tmp_path: Path) -> None:
    report = side_by_side.measured(eager, pictures, num_rounds=2)
    paths = ("picture to codes", "codes to match", "picture to match")
    assert list(report.latency_ms) == [f"{path}: {who}" for path in paths for who in (side_by_side.EAGER, *OURS)]
    assert {stage.num_samples for stage in report.latency_ms.values()} == {2}
    for path in paths:
        eager_ms = report.latency_ms[f"{path}: {side_by_side.EAGER}"].p50
        for who in OURS:
            name = f"{path}: {who}"
            assert report.ratio_to_torch_eager[name] == round(report.latency_ms[name].p50 / eager_ms, 3)
    assert list(report.same_work) == OURS[:2], "the built-in encoder is another network"
    assert {(same.num_pictures, same.same_entries) for same in report.same_work.values()} == {(4, 4)}
    write_report(report, tmp_path / "side-by-side.json")
    section = side_by_side_section(tmp_path / "side-by-side.json")
    assert "over 4 photographs without noise 4 answers are the same" in section
    assert section.count("picture to match: semlink") == 3
    older = msgspec.json.decode((tmp_path / "side-by-side.json").read_bytes())
    del older["num_kb_entries"]
    (tmp_path / "older.json").write_bytes(msgspec.json.encode(older))
    with pytest.raises(msgspec.ValidationError, match="num_kb_entries"):
        side_by_side_section(tmp_path / "older.json")
    file = read_bench_file(tmp_path / "side-by-side.json")
    rows = {stage.name: stage for stage in file.stages}
    assert rows[f"picture to match: {OURS[0]}"].is_end_to_end
    assert rows[f"codes to match: {OURS[1]}"].notes["same answers as torch"] == "4 of 4"
    assert "same answers as torch" not in rows[f"codes to match: {OURS[2]}"].notes


def test_ours_runs_on_as_many_threads_as_torch(
    eager: TorchEager, models: ModelSet, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report has one number of threads, for all."""
    opened: dict[str, int] = {}

    def record(name: str, kind: type, make: str, threads_of: Callable[..., int]) -> None:
        original = getattr(kind, make)

        def recorded(*arguments: object, **options: object) -> object:
            opened[name] = threads_of(*arguments, **options)
            return original(*arguments, **options)

        monkeypatch.setattr(kind, make, recorded)

    record("search", same_models.KnowledgeBase, "open", lambda *_, num_threads=1, **__: num_threads)
    record("decoder", same_models.Decoders, "of", lambda models, kb, options: options.num_threads)
    monkeypatch.setattr(same_models, "NUM_THREADS", 2)
    kb = knowledge_base_of(side_by_side.plausible_entries(eager, pictures), models, tmp_path / "kb")
    with Link(models, "kbsc", side_by_side.RATE, kb, precision=Precision.FP32, engines=tmp_path):
        assert opened == {"search": 2, "decoder": 2}


@pytest.mark.parametrize("half", ["clip", "codec"])
def test_other_weights_are_other_work(eager: TorchEager, pictures: list[np.ndarray], half: str) -> None:
    with torch.no_grad():
        next(eager.clip.parameters() if half == "clip" else eager.codec.encoder.parameters()).mul_(-1.0)
    with pytest.raises(SystemExit, match=r"do not do the same work.* 4 pictures \d"):
        side_by_side.measured(eager, pictures, num_rounds=1)


def test_another_answer_is_other_work(
    eager: TorchEager, models: ModelSet, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    """The same features and symbols are not enough: a receiver that finds another entry does other work."""
    entries = side_by_side.plausible_entries(eager, pictures)
    eager.know(entries)
    kb = knowledge_base_of(np.roll(entries, 1, axis=0), models, tmp_path / "kb")
    with Link(models, "kbsc", side_by_side.RATE, kb, precision=Precision.FP32, engines=tmp_path) as link:
        found = side_by_side.compared(eager, link, pictures)
    assert (found.same_entries, found.feature_cosine > 0.9999, found.symbol_cosine > 0.9995) == (0, True, True)
    with pytest.raises(SystemExit, match="of 4 pictures 0 have the same entry"):
        side_by_side.require_same_work("semlink", found, least_cosine=0.9995)
