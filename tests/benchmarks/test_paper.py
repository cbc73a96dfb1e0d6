"""`make paper`: which encoder it takes, and what its table says."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("torch", reason="needs semlink[train]")

from benchmarks import paper
from semlink.errors import ConfigError
from tests.support.reports import record, report_of


def test_clip_is_taken_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paper.choose_model_set(None) == "builtin"
    (tmp_path / "models" / "clip").mkdir(parents=True)
    (tmp_path / "models" / "clip" / "manifest.json").write_text("{}")
    assert paper.choose_model_set(None) == str(paper.CLIP_MODEL_SET)
    assert paper.choose_model_set("mine") == "mine"


def test_the_table_names_the_encoder_and_whose_channel_it_is() -> None:
    records = [
        record(0, accuracy, codec=codec, snr_db=snr_db)
        for codec, values in {"kbsc-reference": (0.2, 0.4), "kbsc": (0.1, 0.3)}.items()
        for snr_db, accuracy in zip((-7.0, 10.0), values, strict=True)
    ]
    report = report_of(*records, encoder="clip-vit-b32")
    output = io.StringIO()
    Console(file=output, width=200).print(paper.table_of(report))
    text = output.getvalue()
    assert "clip-vit-b32" in text
    assert "kbsc-reference (the paper's channel)" in text
    assert "0.500" in text, "(0.2 + 0.4) / 2 / 0.6"
    assert "0.333" in text, "(0.1 + 0.3) / 2 / 0.6"


@pytest.mark.parametrize(("named", "says"), [(None, True), ("builtin", False), ("/elsewhere/models", False)])
def test_the_hint_to_clip_is_given_only_where_no_set_is_named(
    named: str | None, says: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The evaluation itself is not run: it is replaced by an error, behind the notices."""

    def stop(*_args: object, **_options: object) -> None:
        raise ConfigError("stop")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paper, "evaluate", stop)
    with pytest.raises(ConfigError, match="stop"):
        paper.main(model_set=named, out=tmp_path / "paper.json")
    errors = " ".join(capsys.readouterr().err.split())
    assert f"model set {named or 'builtin'}" in errors
    assert ("does not exist" in errors) is says
