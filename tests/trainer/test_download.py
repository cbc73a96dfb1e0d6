"""Downloads appear whole, with the right hash, or not at all; every failure is one error that names the fix."""

from __future__ import annotations

import hashlib
import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from semlink.errors import DatasetError, MissingDependencyError
from tests.support.file_server import FileServer
from trainer.download import RemoteFile, fetch, verify

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def remote(file_server: FileServer) -> RemoteFile:
    file_server.content = CONTENT
    return RemoteFile(file_server.url("data.bin"), "md5", hashlib.md5(CONTENT).hexdigest(), DatasetError)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fetched_once(tmp_path: Path, remote: RemoteFile, file_server: FileServer) -> None:
    for _ in range(2):
        assert fetch(remote, tmp_path / "data.bin").read_bytes() == CONTENT
    assert file_server.num_requests == 1
    assert files(tmp_path) == ["data.bin"]


def test_a_damaged_file_is_fetched_again(tmp_path: Path, remote: RemoteFile) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1])
    assert fetch(remote, tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_bar_shows_the_download_and_goes(
    tmp_path: Path, remote: RemoteFile, capfd: pytest.CaptureFixture[str]
) -> None:
    screen = io.StringIO()
    with Progress(console=Console(file=screen, force_terminal=True, width=80), auto_refresh=False) as progress:
        fetch(remote, tmp_path / "data.bin", progress=progress)
        assert progress.tasks == []
    assert "downloading data.bin" in screen.getvalue()
    assert capfd.readouterr() == ("", "")


def test_a_bar_goes_when_the_download_fails(tmp_path: Path, remote: RemoteFile, file_server: FileServer) -> None:
    file_server.break_after = 300_000
    with Progress(disable=True) as progress, pytest.raises(DatasetError):
        fetch(remote, tmp_path / "data.bin", progress=progress)
    assert progress.tasks == []


def test_a_broken_connection_leaves_nothing(tmp_path: Path, remote: RemoteFile, file_server: FileServer) -> None:
    file_server.break_after = 300_000
    message = r"data\.bin cannot be downloaded: .*300000 bytes read.*; run again .* or save the file as .*data\.bin"
    with pytest.raises(DatasetError, match=message):
        fetch(remote, tmp_path / "data.bin")
    assert files(tmp_path) == []
    assert fetch(remote, tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing(tmp_path: Path, remote: RemoteFile) -> None:
    wrong = replace(remote, digest="0" * 32)
    with pytest.raises(DatasetError, match=rf"the md5 of the downloaded file is not {'0' * 32}; run again"):
        fetch(wrong, tmp_path / "data.bin")
    assert files(tmp_path) == []


def test_without_a_network_one_line_says_what_to_do(tmp_path: Path, remote: RemoteFile) -> None:
    offline = replace(remote, url="http://127.0.0.1.invalid/data.bin")
    with pytest.raises(DatasetError) as failure:
        fetch(offline, tmp_path / "data.bin")
    assert re.fullmatch(
        r"http://127\.0\.0\.1\.invalid/data\.bin cannot be downloaded: \[Errno -\d+\] [\w ]+;"
        r" run again with a network connection .* or save the file as .*data\.bin",
        str(failure.value),
    )


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path, remote: RemoteFile) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"cannot be downloaded: .*file"):
        fetch(remote, tmp_path / "file" / "data.bin")


def test_verify_names_both_hashes(tmp_path: Path, remote: RemoteFile) -> None:
    path = tmp_path / "data.bin"
    with pytest.raises(DatasetError, match=r"data\.bin: No such file or directory; download it from http"):
        verify(path, remote)
    path.write_bytes(CONTENT)
    verify(path, remote)
    path.write_bytes(b"other")
    found = hashlib.md5(b"other").hexdigest()
    with pytest.raises(DatasetError, match=f"md5 is {found}, expected {remote.digest}; .* download it again from http"):
        verify(path, remote)


def test_without_pooch_the_extra_is_named(tmp_path: Path, remote: RemoteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingDependencyError, match=r"pooch.*\.\[demo\]"):
        fetch(remote, tmp_path / "data.bin")
