"""The documentation site builds without a network, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import run_python

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
# A reader's browser would fetch these; links for the reader to follow are not among them.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+src=["']?https?://|<link[^>]+rel=["']?stylesheet["']?[^>]+https?://"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("zensical") is None or importlib.util.find_spec("mkdocstrings_handlers") is None:
        pytest.skip("needs semlink[docs]")
    checkout = tmp_path_factory.mktemp("checkout")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("needs a git checkout, whose tracked files are what a site is made of")
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, checkout / name)
    result = run_python("docs/build_site.py", cwd=checkout)
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout / "site"


def test_every_page_is_there(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"changelog", "model-card"}
    assert not {page for page in pages if not (site / page / "index.html").is_file()}
    assert "<title>" in (site / "index.html").read_text(encoding="utf-8")


def test_docstrings_are_pages(site: Path) -> None:
    text = (site / "reference" / "index.html").read_text(encoding="utf-8")
    assert "capture_time_ns" in text
    assert "DecodeError" in text


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not FETCHED.search(page.read_text(encoding="utf-8")), page


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copyfile(ROOT / "docs" / "build_site.py", tmp_path / "docs" / "build_site.py")
    for name in ("README.md", "CHANGELOG.md", "engines/modelsets/builtin/MODEL_CARD.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# A page\n\n[nowhere](docs/nowhere.md)\n", encoding="utf-8")
    result = run_python("docs/build_site.py", cwd=tmp_path)
    assert result.returncode == 1
    assert "README.md: docs/nowhere.md" in result.stderr
