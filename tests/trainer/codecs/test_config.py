"""Settings of training runs, and their keys."""

from __future__ import annotations

import pytest

from semlink.errors import ConfigError
from trainer.codecs.config import CodecTraining


def test_keys_of_runs_before_the_choice_of_a_loss_are_unchanged() -> None:
    assert CodecTraining(codec="kbsc", num_symbols=64).key("key") == "kbsc-64-awgn-seed0-05bd7acd85"
    keys = {CodecTraining(codec="kbsc", num_symbols=64, loss=loss).key("key") for loss in ("mse", "similarity", "both")}
    assert len(keys) == 3


def test_other_data_of_the_same_name_is_another_run() -> None:
    training = CodecTraining(codec="kbsc", num_symbols=64)
    assert training.key("one") != training.key("two")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"channel": "rayleigh"}, "pilots"),
        ({"snr_db": ()}, "snr_db"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"codec": "kbsc-reference", "loss": "both"}, "as published"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CodecTraining(**{"codec": "kbsc", "num_symbols": 16, **changes})
