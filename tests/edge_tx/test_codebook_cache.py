"""Codebooks on the device: found by their hash, at most eight, never a damaged one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from edge_tx.codebook_cache import MAX_KEPT, CodebookCache

CONTENT = b"codebook"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "codebooks"


def test_what_is_kept_is_found() -> None:
    assert CodebookCache().find(SHA256) is None
    CodebookCache().keep(SHA256, CONTENT)
    assert CodebookCache().find(SHA256) == CONTENT


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], CONTENT.upper(), CONTENT + bytes(2_000_000)])
def test_a_damaged_file_is_a_miss(folder: Path, damaged: bytes, caplog: pytest.LogCaptureFixture) -> None:
    CodebookCache().keep(SHA256, CONTENT)
    (folder / f"{SHA256}.npz").write_bytes(damaged)
    assert CodebookCache().find(SHA256) is None
    assert "is damaged" in caplog.text
    CodebookCache().keep(SHA256, CONTENT)
    assert CodebookCache().find(SHA256) == CONTENT


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    cache, hashes = CodebookCache(), [hashlib.sha256(bytes([number])).hexdigest() for number in range(MAX_KEPT + 2)]
    for number in range(MAX_KEPT):
        cache.keep(hashes[number], bytes([number]))
        os.utime(folder / f"{hashes[number]}.npz", (number, number))
    assert cache.find(hashes[0]) == bytes([0]), "it is the newest now"
    for number in (MAX_KEPT, MAX_KEPT + 1):
        cache.keep(hashes[number], bytes([number]))
    assert {path.stem for path in folder.iterdir()} == {hashes[0], *hashes[3:]}


@pytest.mark.parametrize("cause", ["no folder", "no home"])
def test_without_a_cache_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cause: str
) -> None:
    if cause == "no folder":
        (tmp_path / "file").touch()
        monkeypatch.setenv("SEMLINK_CACHE", str(tmp_path / "file"))
    else:
        for name in ("SEMLINK_CACHE", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("os.getuid", lambda: 2**31 - 5)  # an account that nobody has
    cache = CodebookCache()
    assert cache.find(SHA256) is None
    cache.keep(SHA256, CONTENT)
    assert cache.find(SHA256) is None
    assert caplog.text.count("set SEMLINK_CACHE to a folder that can be written") == 1


def test_a_codebook_is_kept_though_old_ones_cannot_be_removed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(MAX_KEPT):
        (folder / f"{number}.npz").mkdir(parents=True)
        os.utime(folder / f"{number}.npz", (number, number))
    CodebookCache().keep(SHA256, CONTENT)
    assert CodebookCache().find(SHA256) == CONTENT
    assert "old codebooks cannot be removed" in caplog.text
    assert "cannot be kept" not in caplog.text


def test_a_failed_write_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / f"{SHA256}.npz").mkdir(parents=True)
    CodebookCache().keep(SHA256, CONTENT)
    assert CodebookCache().find(SHA256) is None
    assert "cannot be kept" in caplog.text
