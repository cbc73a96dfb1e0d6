"""Optional packages by the names under which they are installed."""

from __future__ import annotations

import pytest

from semlink.errors import MissingDependencyError
from trainer.codecs.packages import missing_module, require_modules


def test_message_has_the_command_that_installs_the_package() -> None:
    message = str(missing_module("sionna.phy.mapping", "bpg-ldpc"))
    assert "bpg-ldpc needs sionna-no-rt" in message
    assert "[references]" in message


def test_module_of_another_package_is_named() -> None:
    with pytest.raises(MissingDependencyError, match="mine needs the Python module not_installed_anywhere"):
        require_modules(("json", "not_installed_anywhere"), "mine")
    require_modules(("json",), "mine")
