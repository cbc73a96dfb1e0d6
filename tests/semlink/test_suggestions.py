"""What a mistyped name may stand for: never a name that only begins with hyphens too."""

from __future__ import annotations

import pytest

from semlink.suggestions import did_you_mean

OPTIONS = ("--answer", "--json", "--listen", "--codebook", "--fetch-codebook", "--snr-db")


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("--codbook", "did you mean '--codebook' or '--fetch-codebook'?"),
        ("--snr_db", "did you mean '--snr-db'?"),
        ("--JSON", "did you mean '--json'?"),
        ("--sr", ""),
        ("--x", ""),
        ("", ""),
    ],
)
def test_only_names_that_resemble_it(name: str, question: str) -> None:
    assert did_you_mean(name, OPTIONS) == question
