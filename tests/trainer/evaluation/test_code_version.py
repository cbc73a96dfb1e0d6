"""Code has one digest in every process, until its file or a value that is bound to it changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semlink.channel import ChannelModel, CustomChannel
from tests.support.processes import run_python
from trainer.evaluation.code_version import channel_version, code_version

SOURCE = """
from functools import partial
from semlink.channel import CustomChannel
from trainer.evaluation.code_version import channel_version

def attenuate(gain, draw, symbols, snr_db, rng):
    raise NotImplementedError

def channel(gain):
    draw = lambda rng: gain
    return CustomChannel("theirs", partial(attenuate, gain, draw=draw), is_block_fading=True)

if __name__ == "__main__":
    print(channel_version(channel(0.5)))
"""


def version_in_a_process(path: Path) -> str:
    done = run_python(path)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
def test_digest_of_a_channel_is_that_of_every_process_until_its_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "theirs.py"
    path.write_text(SOURCE)
    version = version_in_a_process(path)
    assert version.startswith("theirs True False")
    assert version_in_a_process(path) == version
    path.write_text(SOURCE.replace("raise NotImplementedError", "return gain * symbols"))
    assert version_in_a_process(path) != version


def scaled(gain: Any) -> Any:
    def apply(symbols: Any, snr_db: float, rng: Any) -> Any:
        return apply(gain * symbols, snr_db, rng)

    return apply


def test_digest_depends_on_bound_values() -> None:
    table = np.zeros(5000)
    changed = table.copy()
    changed[2500] = 1.0  # where a repr leaves values out
    versions = [
        code_version(function)
        for function in (scaled(1), scaled(2), scaled(table), scaled(changed), partial(scaled, 1), partial(scaled, 2))
    ]
    assert len(set(versions)) == len(versions)
    assert code_version(scaled(table)) == code_version(scaled(table.copy()))


def test_digest_of_code_in_no_file_is_always_another() -> None:
    namespace: dict[str, Any] = {"__name__": "nowhere"}
    exec("def apply(symbols, snr_db, rng): return symbols", namespace)
    assert code_version(namespace["apply"]) != code_version(namespace["apply"])


def test_properties_of_a_channel_are_part_of_its_version() -> None:
    assert channel_version(ChannelModel.AWGN) == "awgn"
    assert channel_version(CustomChannel("a", scaled)) != channel_version(CustomChannel("a", scaled, True))
