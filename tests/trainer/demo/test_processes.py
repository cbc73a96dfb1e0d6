"""Commands as processes: every way in which one fails is one error with the process's exit code."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from semlink.errors import ConfigError, KnowledgeBaseError
from trainer.demo.processes import CommandFailedError, CommandProcess, wait_for_all

pytestmark = pytest.mark.process

CHANNEL = ("channel", "--listen", "tcp://127.0.0.1:*")


def finish(*arguments: str) -> dict[str, Any]:
    with CommandProcess(*arguments) as process:
        return process.summary()


@pytest.mark.parametrize(("in_background", "niceness"), [(False, 0), (True, 5)])
def test_a_command_in_the_background_yields_to_others(in_background: bool, niceness: int) -> None:
    with CommandProcess(*CHANNEL, in_background=in_background) as process:
        process.endpoint()
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, own + niceness)


def test_a_command_that_fails_is_named_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"semlink kb failed: .*nowhere") as failure:
        finish("kb", "build", str(tmp_path / "nowhere"), "--out", str(tmp_path / "kb"))
    assert failure.value.exit_code == ConfigError.exit_code


def test_a_command_that_is_killed_is_named() -> None:
    with CommandProcess(*CHANNEL) as process:
        process.endpoint()
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(CommandFailedError, match="semlink channel was killed by signal 9") as failure:
            process.summary()
    assert failure.value.exit_code == 137


def test_a_command_that_never_listens_is_named() -> None:
    with CommandProcess("rx", "--kb", "nowhere") as process, pytest.raises(CommandFailedError) as failure:
        process.endpoint()
    assert failure.value.exit_code == KnowledgeBaseError.exit_code


def test_a_command_is_terminated_with_its_context() -> None:
    with CommandProcess(*CHANNEL) as process:
        assert process.endpoint().startswith("tcp://127.0.0.1:")
        process.raise_if_failed()
        assert process.is_running
    assert not process.is_running


def test_the_first_failure_ends_the_wait_for_all() -> None:
    with CommandProcess(*CHANNEL) as channel, CommandProcess("rx", "--kb", "nowhere") as failing:
        channel.endpoint()
        with pytest.raises(CommandFailedError, match="semlink rx failed"):
            wait_for_all(channel, failing)
        assert channel.is_running


def test_the_failure_of_a_peer_ends_the_wait() -> None:
    with CommandProcess(*CHANNEL) as channel, CommandProcess("rx", "--kb", "nowhere") as peer:
        channel.endpoint()
        with pytest.raises(CommandFailedError, match="semlink rx failed"):
            wait_for_all(channel, peer=peer)
        assert channel.is_running


def test_a_command_that_is_asked_to_end_prints_its_summary() -> None:
    with CommandProcess(*CHANNEL, "--json") as process:
        process.endpoint()
        assert process.stop()["frames_forwarded"] == 0
        assert not process.is_running


def test_a_command_that_had_failed_cannot_be_asked_to_end() -> None:
    with CommandProcess("rx", "--kb", "nowhere") as process:
        with pytest.raises(CommandFailedError):
            process.endpoint()
        with pytest.raises(CommandFailedError, match="semlink rx failed"):
            process.stop()


def test_a_folder_named_like_the_package_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "semlink").mkdir()
    (tmp_path / "semlink" / "__init__.py").write_text("raise SystemExit('another semlink')")
    monkeypatch.chdir(tmp_path)
    with CommandProcess(*CHANNEL) as process:
        assert process.endpoint().startswith("tcp://127.0.0.1:")
