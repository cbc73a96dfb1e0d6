"""Code of Markdown pages: lines of blocks, and spans in sentences."""

from __future__ import annotations

import re
from pathlib import Path

_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?: {4}[^\n]*\n)+")
_SPAN = re.compile(r"`([^`]+)`")
_SHELLS = ("", "sh", "bash", "console")


def code_lines(page: Path) -> list[str]:
    """Lines of shell code, of fenced blocks and indented ones, continuation lines joined."""
    text = page.read_text(encoding="utf-8")
    blocks = [block for language, block in _FENCED.findall(text) if language in _SHELLS]
    blocks += _INDENTED.findall(_FENCED.sub("\n", text))
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def code(page: Path) -> list[str]:
    """Lines of blocks and spans of sentences."""
    sentences = _FENCED.sub("\n", page.read_text(encoding="utf-8"))
    return [*code_lines(page), *(" ".join(span.split()) for span in _SPAN.findall(sentences))]
