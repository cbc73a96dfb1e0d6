"""Build the documentation site into site/: README, docs/ and docstrings, without the network.

    python docs/build_site.py

The README becomes the front page. Links between files of the repository become links between pages; one that leads
nowhere ends the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "build" / "site-source"
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
"""Pages that lie outside of docs/."""
MODEL_CARDS = {"engines/modelsets/builtin/MODEL_CARD.md": "model-card.md"}
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")


def main() -> int:
    """Assemble the pages and build them; the exit code is the generator's."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    moved = {**PAGES, **MODEL_CARDS}
    missing: list[str] = []
    for page in [*moved, *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]:
        text = (ROOT / page).read_text(encoding="utf-8")
        text = LINK.sub(lambda link, page=page: _site_link(link, page, moved, missing), text)
        (SOURCE / moved.get(page, Path(page).name)).write_text(text, encoding="utf-8")
    if missing:
        print("links that lead nowhere:", *missing, sep="\n  ", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", "zensical.toml"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _site_link(link: re.Match[str], page: str, moved: dict[str, str], missing: list[str]) -> str:
    before, target, after = link.groups()
    if re.match(r"[a-z]+:", target):
        return link[0]
    path = ((ROOT / page).parent / target).resolve()
    if not path.exists():
        missing.append(f"{page}: {target}")
        return link[0]
    name = path.relative_to(ROOT).as_posix()
    if name in moved:
        return before + moved[name] + after
    if name.startswith("docs/"):
        return before + name.removeprefix("docs/") + after
    # Files that are no pages, such as measurements, are copied beside the pages.
    copy = SOURCE / "files" / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        missing.append(f"{page}: {target} is a folder")
    else:
        shutil.copyfile(path, copy)
    return f"{before}files/{name}{after}"


if __name__ == "__main__":
    sys.exit(main())
