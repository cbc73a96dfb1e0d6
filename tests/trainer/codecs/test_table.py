"""The table of codecs: complete, importable, and open to other packages."""

from __future__ import annotations

import ast
import sys
from collections import ChainMap
from pathlib import Path

import pytest

from semlink.errors import ConfigError
from tests.support.codec_packages import InstallPackage
from tests.support.name_decisions import constants_of, decisions
from tests.support.processes import run_python
from trainer.codecs.spec import CodecSpec
from trainer.codecs.table import BUILTIN_CODECS, codec_names, find_codec, trainable_codecs

ROOT = Path(__file__).parents[3]
PRODUCT = ("semlink", "engines", "edge_tx", "edge_rx", "trainer")
NAMES = {spec.name for spec in BUILTIN_CODECS}

_FORECASTS = "which codes a knowledge base forecasts; the receiver does not see the table"
_ANSWERS = "rx --answer label, which is no codec"
DECIDE_BY_A_NAME = {
    **{
        (f"{module}.py", "label"): _ANSWERS
        for module in (
            "edge_rx/command",
            "edge_rx/codebook/command",
            *(f"edge_rx/decoders/{name}" for name in ("options", "detectors", "registry")),
            *(f"trainer/{name}" for name in ("evaluation/command", "links/graph_link", "links/signal_link")),
        )
    },
    **{("edge_rx/codebook/command.py", codec): _FORECASTS for codec in ("index", "nested", "nested-cells")},
    **{("edge_rx/codebook/forecast.py", codec): _FORECASTS for codec in ("adapted", "index", "nested", "nested-cells")},
    ("engines/models/model_set.py", "index"): "the hint of an error; the layers under trainer do not see the table",
    ("engines/models/model_set.py", "index-labels"): "the same hint",
    ("engines/models/model_set.py", "adapted"): "the same hint",
    ("trainer/demo/measure.py", "label"): "a field of a record, and no codec",
}
"""Files of the product that decide by a string which is a codec's name, the string, and why they may."""

BLOCK_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "sklearn", "scipy", "faiss", "av", "sionna")))
from trainer.codecs.table import codec_names
import trainer.codecs.command
print(*codec_names())
"""


def test_names_and_line_styles_are_unique() -> None:
    assert len({spec.name for spec in BUILTIN_CODECS}) == len(BUILTIN_CODECS)
    assert len({spec.line_style for spec in BUILTIN_CODECS}) == len(BUILTIN_CODECS)


def test_model_owners_are_codecs_with_a_model() -> None:
    for spec in BUILTIN_CODECS:
        if spec.model_of:
            assert find_codec(spec.model_of).fit is not None
        if spec.is_trainable:
            assert spec.fit is not None


def test_only_the_table_decides_by_a_codecs_name() -> None:
    files = {path.relative_to(ROOT).as_posix(): path for package in PRODUCT for path in (ROOT / package).rglob("*.py")}
    del files["trainer/codecs/table.py"]
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    constants = ChainMap(*(constants_of(tree, NAMES) for tree in trees.values()))
    found = {
        (name, codec): f"{name}:{line}: {codec}"
        for name, tree in trees.items()
        for line, codec in decisions(tree, NAMES, constants)
    }
    others = [found[decision] for decision in sorted(found.keys() - DECIDE_BY_A_NAME.keys())]
    assert not others, "make it a field of CodecSpec, or of the fit_config of the codec's entry"
    assert DECIDE_BY_A_NAME.keys() <= found.keys(), "exceptions that nothing needs"


@pytest.mark.parametrize(
    "code",
    [
        'key.codec == "vq"',
        'name in ("kbsc", "vq")',
        'match name:\n    case "vq" | "kbsc":\n        pass',
        'sizes = {"vq": 1}',
        "sizes = dict(vq=1)",
        'sizes["vq"]',
        'sizes.get("vq", 0)',
        'name.startswith("kbsc")',
        'Name = Literal["kbsc", "vq"]',
        'PAPER = "kbsc"\nname == PAPER',
        'SCALAR: frozenset[str] = frozenset({"vq"})\nname in config.SCALAR',
    ],
)
def test_decision_by_a_name_is_found(code: str) -> None:
    tree = ast.parse(code)
    assert list(decisions(tree, NAMES, constants_of(tree, NAMES)))


@pytest.mark.parametrize(
    "code", ['find_codec("vq")', 'def fit(codec="vq"): "vq"', 'refuse(f"{name} == vq")', 'name == "morse"']
)
def test_names_in_arguments_defaults_and_texts_are_no_decisions(code: str) -> None:
    tree = ast.parse(code)
    assert not list(decisions(tree, NAMES, constants_of(tree, NAMES)))


@pytest.mark.parametrize("spec", BUILTIN_CODECS, ids=lambda spec: spec.name)
def test_references_can_be_imported(spec: CodecSpec) -> None:
    for module in (*spec.modules, *spec.fit_modules):
        pytest.importorskip(module, reason="an optional package of this codec")
    pytest.importorskip("faiss", reason="needs semlink[cpu]")
    assert callable(spec.load_links())
    assert spec.fit is None or callable(spec.load_fit())


@pytest.mark.process
def test_table_is_read_without_the_packages_of_codecs() -> None:
    result = run_python("-c", BLOCK_TORCH)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) >= {spec.name for spec in BUILTIN_CODECS}


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r'codec "morse" is unknown; choose from: nested, nested-cells, nested-feedback, .*deepjscc'
    ):
        find_codec("morse")
    with pytest.raises(ConfigError, match="codec \"adpted\" is unknown; did you mean 'adapted'"):
        find_codec("adpted")


@pytest.fixture
def their_package(install_package: InstallPackage) -> str:
    """An installed package with three entry points, of which one holds a spec of its name."""
    source = (
        "from trainer.codecs.spec import CodecSpec\n"
        'SPEC = CodecSpec(name="their-own", summary="theirs", links="os.path:join")\n'
    )
    points = {"their_own": "SPEC", "misnamed": "SPEC", "missing": "NOTHING"}
    return install_package(source, **points)


def test_package_adds_a_codec_by_entry_point(their_package: str) -> None:
    assert codec_names()[-3:] == ("misnamed", "missing", "their-own")
    assert their_package not in sys.modules
    assert find_codec("their-own").summary == "theirs"


def test_trainable_codecs_are_those_of_packages_too(install_package: InstallPackage) -> None:
    source = (
        "from trainer.codecs.spec import CodecSpec\n"
        'SPEC = CodecSpec(name="theirs", summary="", links="os.path:join", fit="os.path:join", is_trainable=True)\n'
    )
    install_package(source, theirs="SPEC")
    assert trainable_codecs() == ("nested", "nested-cells", "nested-labels", "label", "kbsc", "theirs")


@pytest.mark.usefixtures("their_package")
@pytest.mark.parametrize(("name", "words"), [("misnamed", "must be a CodecSpec of this name"), ("missing", "NOTHING")])
def test_entry_point_without_a_spec_is_named(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        find_codec(name)
