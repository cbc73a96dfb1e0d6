"""The table of codecs: complete, importable, and open to other packages."""

from __future__ import annotations

import sys

import pytest

from semlink.errors import ConfigError
from tests.support.codec_packages import InstallPackage
from tests.support.processes import run_python
from trainer.codecs.spec import CodecSpec
from trainer.codecs.table import BUILTIN_CODECS, codec_names, find_codec, trainable_codecs

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
        ConfigError, match=r'codec "morse" is unknown; choose from: nested, nested-feedback, .*deepjscc'
    ):
        find_codec("morse")


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
    assert trainable_codecs() == ("nested", "nested-labels", "label", "kbsc", "theirs")


@pytest.mark.usefixtures("their_package")
@pytest.mark.parametrize(("name", "words"), [("misnamed", "must be a CodecSpec of this name"), ("missing", "NOTHING")])
def test_entry_point_without_a_spec_is_named(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        find_codec(name)
