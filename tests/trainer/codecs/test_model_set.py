"""Fitted models become files of a model set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.models.codebook import Codebook
from engines.models.manifest import NestedCodecEntry, PerRateCodecEntry
from semlink.errors import ConfigError
from semlink.files import file_sha256
from tests.support.model_sets import make_codebook
from trainer.codecs.config import CodecTraining, TrainedCodec
from trainer.codecs.model_set import save_codec
from trainer.codecs.nested import NestedModel
from trainer.codecs.spec import FittedModel


def nested_model(seed: int = 0) -> FittedModel:
    return FittedModel(NestedModel(make_codebook(16, np.random.default_rng(seed))), trained_on="noise", key="")


def run(folder: Path, num_symbols: int) -> FittedModel:
    folder.mkdir(parents=True)
    training = CodecTraining(codec="kbsc", num_symbols=num_symbols)
    codec = TrainedCodec(training, "noise", 1, [0.25, 0.5, 0.4], str(folder))
    codec.encoder_path.write_bytes(b"encoder of %d" % num_symbols)
    codec.decoder_path.write_bytes(b"decoder of %d" % num_symbols)
    return FittedModel(codec, trained_on="noise", key="")


def test_nested_model_is_a_codebook(tmp_path: Path) -> None:
    model = nested_model()
    entry = save_codec("mine", [model], tmp_path, training_data="noise", measured={"accuracy": 0.5})
    assert isinstance(entry, NestedCodecEntry)
    assert (entry.name, entry.training_data, entry.measured, entry.projection) == (
        "mine",
        "noise",
        {"accuracy": 0.5},
        None,
    )
    path = tmp_path / entry.codebook.file
    assert file_sha256(path) == entry.codebook.sha256
    assert Codebook.load(path).to_bytes() == model.model.codebook.to_bytes()


def test_runs_are_a_pair_of_graphs_for_each_rate(tmp_path: Path) -> None:
    runs = [run(tmp_path / str(number), number) for number in (16, 64)]
    entry = save_codec("mine", runs, tmp_path, training_data="noise", measured={})
    assert isinstance(entry, PerRateCodecEntry)
    assert [rate.num_symbols for rate in entry.rates] == [16, 64]
    assert (tmp_path / entry.rates[1].decoder.file).read_bytes() == b"decoder of 64"
    assert entry.rates[0].measured == {"validation_accuracy": 0.5, "best_epoch": 1.0}


def test_files_of_an_earlier_model_are_left_as_they_are(tmp_path: Path) -> None:
    """A process that has read the manifest before the codec is replaced finds what the manifest describes."""
    earlier = [
        save_codec("mine", [nested_model(0)], tmp_path, training_data="noise", measured={}),
        save_codec("theirs", [run(tmp_path / "first", 16)], tmp_path, training_data="noise", measured={}),
    ]
    other = run(tmp_path / "second", 16)
    other.model.encoder_path.write_bytes(b"another encoder")
    later = [
        save_codec("mine", [nested_model(1)], tmp_path, training_data="noise", measured={}),
        save_codec("theirs", [other], tmp_path, training_data="noise", measured={}),
    ]
    for entry in (*earlier, *later):
        for file in entry.files:
            assert file_sha256(tmp_path / file.file) == file.sha256


def test_other_models_are_refused(tmp_path: Path) -> None:
    for fitted in ([FittedModel("a network", trained_on="noise", key="")], [nested_model(), nested_model()]):
        with pytest.raises(ConfigError, match="a model set holds one nested model or one training run for each rate"):
            save_codec("mine", fitted, tmp_path, training_data="noise", measured={})
