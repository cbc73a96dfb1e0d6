"""Pages that the code cites say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from semlink.codebook_chunks import CHUNK_HEADER_BYTES, MAX_CHUNK_MESSAGE_BYTES, CodebookChunk, split
from semlink.frame import HEADER_BYTES, MAX_FRAME_BYTES, Flags, unpack
from semlink.iq import CodesFormat
from semlink.rates import RATES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("semlink", "engines", "edge_tx", "edge_rx", "trainer", "benchmarks")
CITATION = re.compile(r'docs/([\w-]+\.md)(?:,\s+"([^"]+)")?')
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def headings(text: str) -> list[str]:
    return [line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")]


def anchors(text: str) -> set[str]:
    """As GitHub makes them."""
    return {re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-") for heading in headings(text)}


def test_sections_that_docstrings_cite_exist() -> None:
    num_checked = 0
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for name, section in CITATION.findall(path.read_text(encoding="utf-8")):
            if not section:
                continue
            assert section in headings(page(name)), f'{path} cites {name}, "{section}"'
            num_checked += 1
    assert num_checked >= 3


@pytest.mark.parametrize("name", ["wire-format.md", "definitions.md", "model-sets.md", "api.md"])
def test_links_lead_somewhere(name: str) -> None:
    for target, anchor in LINK.findall(page(name)):
        if target == "results.md" and not (DOCS / target).exists():
            continue
        assert not target or (DOCS / target).is_file(), target
        assert not anchor or anchor in anchors(page(target or name)), anchor


def test_golden_frame_of_the_specification() -> None:
    block = re.search(r"## Golden frame.*?```\n(.*?)```", page("wire-format.md"), re.DOTALL)
    assert block is not None
    frame = unpack(bytes.fromhex(block[1]))
    assert (frame.stream_id, frame.sequence) == (0x0123456789ABCDEF, 5)
    assert (frame.capture_time_ns, frame.rate.num_symbols, frame.num_pilots) == (1700000000123456789, 4, 2)
    assert (frame.source_width_px, frame.source_height_px) == (1280, 720)
    assert frame.codes.tolist() == [[11, 11], [-11, 11], [16, 0], [0, -16], [127, -127], [-11, 11]]


def test_golden_chunk_of_the_specification() -> None:
    block = re.search(r"A chunk of the eight bytes.*?```\n(.*?)```", page("wire-format.md"), re.DOTALL)
    assert block is not None
    assert [CodebookChunk.unpack(bytes.fromhex(block[1]))] == split(b"codebook")


@pytest.mark.parametrize(
    ("section", "header_bytes", "max_bytes"),
    [("Layout", HEADER_BYTES, MAX_FRAME_BYTES), ("Codebook chunk", CHUNK_HEADER_BYTES, MAX_CHUNK_MESSAGE_BYTES)],
)
def test_layout_tables_are_contiguous(section: str, header_bytes: int, max_bytes: int) -> None:
    table = page("wire-format.md").partition(f"## {section}\n")[2].partition("\n## ")[0]
    offset = 0
    for start, num_bytes, name in re.findall(r"^\| (\d+) \| (\d+) \| `(\w+)` \|", table, re.MULTILINE):
        assert int(start) == offset, name
        offset += int(num_bytes)
    assert offset == header_bytes
    assert f"{max_bytes:,} bytes" in page("wire-format.md")


def test_rate_tables() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (1/\d+) \|$", page("wire-format.md"), re.MULTILINE)
    assert [(int(rate_id), int(n), name) for rate_id, n, name in rows] == [
        (rate.rate_id, rate.num_symbols, rate.name) for rate in RATES
    ]
    cells = re.findall(r"\*{0,2}(1/\d+)\*{0,2} \| ([\d,]+) \| ([\d,]+) \|", page("definitions.md"))
    assert {(name, int(n.replace(",", "")), int(k.replace(",", ""))) for name, n, k in cells} == {
        (rate.name, rate.num_symbols, rate.latent_dim) for rate in RATES
    }


def test_flags_and_formats() -> None:
    text = page("wire-format.md")
    for flag in Flags:
        if flag:
            assert f"(0x{int(flag):04x}) | {flag.name} |" in text
    for codes_format in CodesFormat:
        assert f"{codes_format.value} = {codes_format.name.lower()}" in text


def test_checks_after_unpacking_are_those_of_the_receiver_in_its_order() -> None:
    """See `edge_rx.pipeline.Receiver`: known models, no repeat, then the payload's values."""
    table = page("wire-format.md").partition("After these checks the frame is whole")[2]
    order = [table.index(words) for words in ("one of the models'", "is new", "finite and within")]
    assert order == sorted(order)
