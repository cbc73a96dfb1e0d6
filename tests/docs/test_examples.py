"""Every example runs, and the page on Python shows the first of them as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")
pytest.importorskip("sklearn", reason="needs semlink[demo]")

from edge_rx.kb.build import build_knowledge_base, labelled_folder
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from tests.support.processes import run_python
from trainer.datasets.base import write_folder
from trainer.datasets.digits import open_digits

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NUM_PICTURES = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_folder(open_digits().sent.spread(NUM_PICTURES), folder)
    return folder


@pytest.fixture(scope="module")
def kb(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kb") / "my-kb"
    models = ModelSet.find("builtin")
    build_knowledge_base(labelled_folder(photos), folder, ImageEncoder(models), codecs=models.codecs)
    return folder


def run(example: str, *arguments: Path, cwd: Path) -> str:
    done = run_python(EXAMPLES / example, *arguments, cwd=cwd, environment={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
def test_one_picture(kb: Path, photos: Path, tmp_path: Path) -> None:
    picture = next(photos.rglob("*.png"))
    label, source, score = run("one_picture.py", kb, picture, cwd=tmp_path).split()
    assert (photos / source).is_file()
    assert source.startswith(f"{label}/")
    assert 0.0 < float(score) <= 1.0


@pytest.mark.process
def test_many_pictures(kb: Path, photos: Path, tmp_path: Path) -> None:
    lines = run("many_pictures.py", kb, photos, cwd=tmp_path).splitlines()
    right = [int(found[1]) for line in lines if (found := re.search(r"dB: (\d+) of", line))]
    assert len(right) == len(lines) == 3
    assert NUM_PICTURES >= right[2] >= right[0]
    assert right[2] > 0.9 * NUM_PICTURES


@pytest.mark.process
def test_own_channel(kb: Path, photos: Path, tmp_path: Path) -> None:
    picture = next(photos.rglob("*.png"))
    assert run("own_channel.py", kb, picture, cwd=tmp_path).strip() == picture.parent.name


@pytest.mark.process
def test_own_fading_channel(kb: Path, photos: Path, tmp_path: Path) -> None:
    picture = next(photos.rglob("*.png"))
    assert run("own_fading_channel.py", kb, picture, cwd=tmp_path).strip() == picture.parent.name


@pytest.mark.process
def test_own_codec(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs semlink[train]")
    lines = run("own_codec.py", cwd=tmp_path).splitlines()
    assert [line.split()[0] for line in lines] == ["principal"] * 3 + ["nested"] * 3


@pytest.mark.process
def test_own_encoder(photos: Path, tmp_path: Path) -> None:
    run("own_encoder.py", tmp_path / "colours", cwd=tmp_path)
    models = ModelSet(tmp_path / "colours")
    report = build_knowledge_base(labelled_folder(photos), tmp_path / "kb", ImageEncoder(models))
    assert report.num_entries == NUM_PICTURES


def test_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells in order, as a notebook runs them."""
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "the notebook is committed without outputs"
            exec("".join(cell["source"]), names)
    records = names["records"]
    assert len(records) == 40
    assert {"label", "score", "payload_cbr", "search_ms"} <= records[0].keys()


def test_every_example_is_run_here() -> None:
    tested = set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert tested == {path.name for path in EXAMPLES.glob("*.py")}


def test_the_page_shows_the_first_example() -> None:
    listing = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    assert listing is not None
    shown = listing[1].replace('"my-kb"', "kb").replace('"photo.jpg"', "photo").splitlines()
    code = (EXAMPLES / "one_picture.py").read_text(encoding="utf-8").splitlines()
    assert [line for line in shown if line] == [line for line in code if line and line in shown]
    assert len([line for line in shown if line]) <= 8
