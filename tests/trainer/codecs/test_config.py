"""Settings of training runs, and their keys."""

from __future__ import annotations

import pytest

from semlink.errors import ConfigError
from trainer.codecs.config import CodecTraining, KbscConfig, TrainingRun


def test_keys_of_runs_before_the_choice_of_a_loss_are_unchanged() -> None:
    assert CodecTraining(codec="kbsc", num_symbols=64).key("key") == "kbsc-64-awgn-seed0-05bd7acd85"
    published = CodecTraining(codec="kbsc-reference", num_symbols=64, channel="rayleigh")
    assert published.key("key") == "kbsc-reference-64-rayleigh-seed0-7e213b0265"
    keys = {CodecTraining(codec="kbsc", num_symbols=64, loss=loss).key("key") for loss in ("mse", "similarity", "both")}
    assert len(keys) == 3


def test_other_data_of_the_same_name_is_another_run() -> None:
    training = CodecTraining(codec="kbsc", num_symbols=64)
    assert training.key("one") != training.key("two")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"snr_db": ()}, "snr_db"),
        ({"learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CodecTraining(**{"codec": "kbsc", "num_symbols": 16, **changes})


def test_gain_is_estimated_from_pilots_unless_the_receiver_knows_it() -> None:
    settings = CodecTraining(codec="mine", num_symbols=16, channel="rayleigh")
    assert TrainingRun(settings, KbscConfig(uses_paper_channel=True)).settings is settings
    with pytest.raises(ConfigError, match="set num_pilots to 1 or more"):
        TrainingRun(settings, KbscConfig())


def test_loss_is_one_of_the_codecs() -> None:
    settings = CodecTraining(codec="mine", num_symbols=16, loss="both")
    assert TrainingRun(settings, KbscConfig()).settings is settings
    with pytest.raises(ConfigError, match="mine is trained by mse, similarity, not by both"):
        TrainingRun(settings, KbscConfig(objectives=("mse", "similarity")))
