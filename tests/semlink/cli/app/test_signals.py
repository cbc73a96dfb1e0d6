"""`semlink` as a process: Ctrl-C and SIGTERM end it cleanly."""

from __future__ import annotations

import signal

import pytest

from semlink.cli.app import EXIT_INTERRUPTED
from tests.support.processes import start_semlink

pytestmark = pytest.mark.process


class TestSignals:
    @pytest.mark.parametrize(
        ("stop", "ignore_sigint"),
        [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)],
        ids=["Ctrl-C", "SIGTERM", "SIGTERM of a background job"],
    )
    def test_end_is_clean(self, environment: dict[str, str], stop: signal.Signals, ignore_sigint: bool) -> None:
        # What a shell without job control does to "command &".
        prefix = ("bash", "-c", 'trap "" INT; exec "$@"', "bash") if ignore_sigint else ()
        with start_semlink("waits", environment=environment, prefix=prefix) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(stop)
            done = process.finish()
        assert (done.returncode, done.stdout, done.stderr) == (EXIT_INTERRUPTED, "cleaned up\n", "")
