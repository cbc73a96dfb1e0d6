"""What `make bench-side-by-side` compares, with a small network in place of CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

import torch
from PIL import Image
from torch import nn

from benchmarks import same_models, side_by_side
from benchmarks.engine_sections import side_by_side_section
from benchmarks.report.schemas import SideBySideReport
from benchmarks.same_models import SIZE_PX, Link, as_model_set, knowledge_base_of
from benchmarks.torch_eager import FEATURE_DIM, TorchEager
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.report import read_report, write_report
from trainer.codecs.kbsc import KbscNetwork

SEMLINK = [f"semlink, {name}" for name in ("ViT-B/32, fp32", "ViT-B/32, int8", "built-in encoder and nested, fp32")]


class SmallClip(nn.Module):
    """A few matrix products in place of a transformer's."""

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
def images() -> list[np.ndarray]:
    coarse = np.random.default_rng(0).integers(0, 256, (4, 7, 7, 3), dtype=np.uint8)
    return [np.kron(patches, np.ones((SIZE_PX // 7, SIZE_PX // 7, 1), np.uint8)) for patches in coarse]


def small_eager() -> TorchEager:
    torch.manual_seed(0)
    codec = KbscNetwork(FEATURE_DIM, side_by_side.RATE.latent_dim).eval()
    return TorchEager(SmallClip().eval(), preprocess_as_torchvision, codec)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """Exported once: `small_eager` has the same weights each time."""
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


def test_every_path_of_every_side_is_timed_and_compared(
    eager: TorchEager, images: list[np.ndarray], tmp_path: Path
) -> None:
    report = side_by_side.measure(eager, images, num_rounds=2)
    paths = ("image to codes", "codes to match", "image to match")
    stages = {stage.name: stage for stage in report.stages}
    assert list(stages) == [f"{path}: {side}" for path in paths for side in (side_by_side.EAGER, *SEMLINK)]
    for name, stage in stages.items():
        path = name.partition(":")[0]
        eager_ms = stages[f"{path}: {side_by_side.EAGER}"].p50_ms
        assert eager_ms is not None
        assert stage.p50_ms is not None
        assert stage.num_samples == 2
        assert stage.notes == {side_by_side.RATIO: round(stage.p50_ms / eager_ms, 3)}
        assert stage.is_end_to_end == (path == "image to match")
    assert [same.name for same in report.same_work] == SEMLINK[:2], "the built-in encoder is another network"
    assert {(same.num_images, same.same_entries) for same in report.same_work} == {(4, 4)}
    write_report(report, tmp_path / "side-by-side.json")
    assert read_report(tmp_path / "side-by-side.json", SideBySideReport) == report
    section = side_by_side_section(report)
    assert "without noise, 4 of 4 photographs have the same match" in section
    assert section.count("image to match: semlink") == 3


def test_the_link_runs_on_as_many_threads_as_torch(
    eager: TorchEager, models: ModelSet, images: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report has one number of threads for both sides."""
    opened: dict[str, int] = {}
    open_kb, make_decoders = KnowledgeBase.open, Decoders.of

    def open_recorded(*arguments: Any, num_threads: int = 1, **options: Any) -> KnowledgeBase:
        opened["search"] = num_threads
        return open_kb(*arguments, num_threads=num_threads, **options)

    def decoders_recorded(models: ModelSet, kb: KnowledgeBase, options: DecoderOptions) -> Decoders:
        opened["decoder"] = options.num_threads
        return make_decoders(models, kb, options)

    monkeypatch.setattr(KnowledgeBase, "open", open_recorded)
    monkeypatch.setattr(Decoders, "of", decoders_recorded)
    monkeypatch.setattr(same_models, "NUM_THREADS", 2)
    kb = knowledge_base_of(side_by_side.plausible_entries(eager, images), models, tmp_path / "kb")
    with Link(models, "kbsc", side_by_side.RATE, kb, precision=Precision.FP32, engines=tmp_path):
        assert opened == {"search": 2, "decoder": 2}


@pytest.mark.parametrize("half", ["clip", "codec"])
def test_other_weights_are_other_work(eager: TorchEager, images: list[np.ndarray], half: str) -> None:
    with torch.no_grad():
        next(eager.clip.parameters() if half == "clip" else eager.codec.encoder.parameters()).mul_(-1.0)
    with pytest.raises(side_by_side.UnequalWorkError, match=r"do not do the same work.* 4 images \d"):
        side_by_side.measure(eager, images, num_rounds=1)


def test_another_match_is_other_work(
    eager: TorchEager, models: ModelSet, images: list[np.ndarray], tmp_path: Path
) -> None:
    """Equal features and symbols are not enough: a receiver with another match does other work."""
    entries = side_by_side.plausible_entries(eager, images)
    eager.add_entries(entries)
    kb = knowledge_base_of(np.roll(entries, 1, axis=0), models, tmp_path / "kb")
    with Link(models, "kbsc", side_by_side.RATE, kb, precision=Precision.FP32, engines=tmp_path) as link:
        found = side_by_side.compare_results("semlink", eager, link, images)
    assert (found.same_entries, found.feature_cosine > 0.9999, found.symbol_cosine > 0.9995) == (0, True, True)
    with pytest.raises(side_by_side.UnequalWorkError, match="of 4 images 0 have the same entry"):
        side_by_side.require_same_work(found, least_cosine=0.9995)
