"""When the receiver's codebook is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_tx.config import SourceConfig, TransmitterConfig
from edge_tx.loading import load_models
from engines.models.model_set import ModelSet
from semlink.cli.output import stderr_console
from semlink.rates import parse_rate
from tests.support.codebooks import small_codebook

FEEDBACK = {"feedback": "tcp://127.0.0.1:5557"}
CODEC = {"codec": "synthetic-codec"}


@pytest.mark.parametrize(
    ("options", "is_fetched"),
    [
        ({}, False),
        (FEEDBACK, True),
        ({**FEEDBACK, "fetches_codebook": False}, False),
        ({**FEEDBACK, **CODEC}, False),
        ({**FEEDBACK, **CODEC, "with_file": True}, True),
        ({"with_file": True}, False),
        ({**FEEDBACK, "num_pilots": 1}, False),
        ({**FEEDBACK, "num_pilots": 2}, True),
    ],
)
def test_a_codebook_is_fetched_by_reports_unless_a_codec_is_asked_for(
    model_set: ModelSet, tmp_path: Path, options: dict[str, Any], is_fetched: bool
) -> None:
    path = tmp_path / "codebook.npz"
    path.write_bytes(small_codebook(model_set.encoder_fingerprint).content)
    options = dict(options)
    codebook = path if options.pop("with_file", False) else None
    config = TransmitterConfig(
        source=SourceConfig(path=tmp_path),
        model_set=str(model_set.folder),
        rate=parse_rate("16"),
        codebook=codebook,
        **options,
    )
    models = load_models(config, stderr_console())
    assert (models.load_fetched is not None) == is_fetched


def test_the_model_of_a_fetched_codebook_is_as_the_options_ask(model_set: ModelSet, tmp_path: Path) -> None:
    config = TransmitterConfig(
        source=SourceConfig(path=tmp_path), model_set=str(model_set.folder), rate=parse_rate("16"), **FEEDBACK
    )
    models, codebook = load_models(config, stderr_console()), small_codebook(model_set.encoder_fingerprint)
    assert models.load_fetched is not None
    loaded = models.load_fetched(codebook)
    assert loaded.fingerprints[models.rate] == codebook.fingerprint(models.rate)
    assert models.fallback is not None
    assert loaded.codes_format is models.fallback.codes_format
