"""Files are whole or absent, locks exclude, hashes are those of the bytes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import threading
from pathlib import Path

import msgspec
import pytest

from semlink.files import file_sha256, is_plain_name, locked_file, replaced_file, write_json
from tests.support.deadlines import DEADLINE_S


class TestReplacedFile:
    @pytest.mark.parametrize("durable", [False, True])
    def test_new_content_takes_the_place_of_the_old(self, tmp_path: Path, durable: bool) -> None:
        path = tmp_path / "note.txt"
        path.write_text("old")
        with replaced_file(path, durable=durable) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
        assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]
        assert path.read_text() == "new"

    def test_an_error_leaves_the_old_content_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "note.txt"
        path.write_text("old")
        with contextlib.suppress(RuntimeError), replaced_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
        assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]
        assert path.read_text() == "old"


class TestWriteJson:
    def test_one_value_indented_with_a_final_newline(self, tmp_path: Path) -> None:
        path = tmp_path / "rates.json"
        write_json(path, {"num_symbols": [16, 64]}, durable=True)
        assert path.read_text() == '{\n  "num_symbols": [\n    16,\n    64\n  ]\n}\n'
        assert msgspec.json.decode(path.read_bytes()) == {"num_symbols": [16, 64]}

    def test_a_value_that_json_lacks_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "rates.json"
        write_json(path, 1)
        with pytest.raises(TypeError):
            write_json(path, object())
        assert [file.name for file in tmp_path.iterdir()] == ["rates.json"]
        assert path.read_text() == "1\n"

    def test_a_missing_folder_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write_json(tmp_path / "missing" / "rates.json", 1)


class TestLockedFile:
    def test_no_second_holder(self, tmp_path: Path) -> None:
        path = tmp_path / "run.lock"
        with locked_file(path), path.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_the_second_waits_for_the_first(self, tmp_path: Path) -> None:
        path, has_it = tmp_path / "run.lock", threading.Event()

        def take() -> None:
            with locked_file(path):
                has_it.set()

        second = threading.Thread(target=take, daemon=True)
        with locked_file(path):
            second.start()
            assert not has_it.is_set()
        assert has_it.wait(DEADLINE_S)
        second.join(DEADLINE_S)

    def test_a_missing_folder_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            locked_file(tmp_path / "missing" / "run.lock")


@pytest.mark.parametrize("num_bytes", [0, 1, (1 << 20) + 1])
def test_hash_of_a_file_of_any_size(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * num_bytes)
    assert file_sha256(path) == hashlib.sha256(b"x" * num_bytes).hexdigest()


@pytest.mark.parametrize(
    ("name", "is_plain"), [("a.onnx", True), ("..a", True), ("", False), (".", False), ("..", False), ("a/b", False)]
)
def test_plain_names_stay_in_their_folder(name: str, is_plain: bool) -> None:
    assert is_plain_name(name) is is_plain
