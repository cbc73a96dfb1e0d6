"""`semlink models list`: the built-in sets, those in folders, and what each holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engines.models.command import app
from engines.models.model_set import ModelSet
from semlink.errors import ModelSetError
from semlink.rates import RATES

ALL_RATES = [rate.num_symbols for rate in RATES]


def listed(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["list", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_built_in() -> None:
    (builtin,) = json.loads(listed("--json"))
    assert (builtin["name"], builtin["encoder"], builtin["licence"]) == ("builtin", "builtin", "Apache-2.0")
    assert (builtin["feature_dim"], builtin["image_size_px"]) == (512, 224)
    codecs = {codec["name"]: codec for codec in builtin["codecs"]}
    assert next(iter(codecs)) == "nested"
    assert codecs["nested"]["rates"] == ALL_RATES
    assert codecs["kbsc"]["rates"] == [64, 128]
    assert "cifar100" in codecs["nested-labels"]["training_data"]


def test_size_is_of_the_files_in_the_manifest(model_set: ModelSet) -> None:
    _, ours = json.loads(listed(model_set.folder, "--json"))
    files = [path for path in model_set.folder.iterdir() if path.suffix in (".onnx", ".npz")]
    assert (ours["name"], ours["size_bytes"]) == (model_set.name, sum(path.stat().st_size for path in files))


def test_table_has_a_row_for_each_codec(model_set: ModelSet) -> None:
    shown = listed(model_set.folder)
    for word in ("builtin", "nested-labels", "64, 128", model_set.name, str(model_set.folder), "Apache-2.0"):
        assert word in shown
    assert sum("kbsc" in line for line in shown.splitlines()) == 1


def test_set_without_a_codec(model_set: ModelSet, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(model_set.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "codecs": []}))
    (line,) = (line for line in listed(folder).splitlines() if str(folder) in line)
    assert "none" in line


def test_folder_without_a_model_set(tmp_path: Path) -> None:
    with pytest.raises(ModelSetError, match="not a model set"):
        listed(tmp_path)


def test_missing_file(model_set: ModelSet, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(model_set.folder, folder)
    (folder / "encoder.onnx").unlink()
    with pytest.raises(ModelSetError, match=r"encoder\.onnx: No such file or directory; the model set is incomplete"):
        listed(folder)
