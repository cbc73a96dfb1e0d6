"""The page on model sets has every field of the manifest, and its example is one that the reader takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.models import manifest
from semlink.errors import ModelSetError
from semlink.image import INTERPOLATIONS, Preprocessing

PAGE = (Path(__file__).parents[2] / "docs" / "model-sets.md").read_text(encoding="utf-8")
STRUCTS: dict[str, type[msgspec.Struct]] = {
    "The set": manifest.Manifest,
    "A file": manifest.ModelFile,
    "The image encoder": manifest.EncoderEntry,
    "Preprocessing": Preprocessing,
    "A nested codec": manifest.NestedCodecEntry,
    "A projection head": manifest.ProjectionEntry,
    "A per-rate codec": manifest.PerRateCodecEntry,
    "A rate": manifest.CodecRateEntry,
}
"""By the heading of its table."""


def fields_of_the_page(heading: str) -> dict[str, bool]:
    """Whether each field of a table is required, by name."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", section, re.MULTILINE)
    return {name: default == "required" for name, default in rows}


def example() -> dict[str, Any]:
    block = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    contents: dict[str, Any] = json.loads(block[1])
    return contents


def written(contents: dict[str, Any], folder: Path) -> Path:
    (folder / "manifest.json").write_text(json.dumps(contents), encoding="utf-8")
    return folder


@pytest.mark.parametrize("heading", STRUCTS)
def test_tables_have_every_field(heading: str) -> None:
    info = msgspec.inspect.type_info(STRUCTS[heading])
    assert isinstance(info, msgspec.inspect.StructType)
    expected = {field.encode_name: field.required for field in info.fields}
    if info.tag_field is not None:
        expected[info.tag_field] = True
        assert f"| `{info.tag_field}` | string | required | `{info.tag}` |" in PAGE
    assert fields_of_the_page(heading) == expected


def test_format_and_filters_are_those_of_the_code() -> None:
    assert f"of format {manifest.MANIFEST_FORMAT}" in PAGE
    assert f"| `format` | integer | required | {manifest.MANIFEST_FORMAT}." in PAGE
    assert f"filter of the resizing: {' or '.join(f'`{name}`' for name in INTERPOLATIONS)}" in PAGE


def test_the_example_is_read_and_complete(tmp_path: Path) -> None:
    read = manifest.read_manifest(written(example(), tmp_path))
    assert [type(codec) for codec in read.codecs] == [manifest.NestedCodecEntry, manifest.PerRateCodecEntry]
    names = {name for heading in STRUCTS for name in fields_of_the_page(heading)}
    text = json.dumps(example())
    assert not {name for name in names if f'"{name}":' not in text}


@pytest.mark.parametrize("name", ["format", "encoder", "colour"])
def test_a_field_that_is_missing_or_unknown_is_refused(name: str, tmp_path: Path) -> None:
    contents = example()
    if name in contents:
        del contents[name]
    else:
        contents[name] = 1
    with pytest.raises(ModelSetError, match=name):
        manifest.read_manifest(written(contents, tmp_path))
