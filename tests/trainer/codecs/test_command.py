"""`semlink codecs list`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from trainer.codecs.command import app
from trainer.codecs.table import codec_names


def test_table_has_every_codec() -> None:
    result = CliRunner().invoke(app, ["list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for name in codec_names():
        assert f" {name} " in result.output


def test_json_has_every_fact() -> None:
    result = CliRunner().invoke(app, ["list", "--json"])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.output)}
    assert set(rows) == set(codec_names())
    assert rows["index-labels"]["model_of"] == "nested-labels"
    assert rows["index-labels"]["builtin_model_sets"] == rows["nested-labels"]["builtin_model_sets"] == ["builtin"]
    assert rows["kbsc"]["fitted_for"] == ["rate", "seed", "channel"]
    assert [name for name, row in rows.items() if row["trainable"]] == [
        "nested",
        "nested-cells",
        "nested-labels",
        "label",
        "kbsc",
    ]
    assert rows["bpg-ldpc"]["needs"] == ["training set", "labels", "pictures"]
