"""Model sets are written whole, and a codec never outlives its encoder."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import msgspec
import pytest

from engines.models.manifest import Manifest, ModelFile, PerRateCodecEntry
from engines.models.model_set import ModelSet
from semlink.errors import ModelSetError
from semlink.files import file_sha256
from semlink.image import Preprocessing
from trainer import model_set_writer
from trainer.model_set_writer import model_file, set_codec, set_encoder, write_encoder, write_manifest


@pytest.fixture
def folder(model_set: ModelSet, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_set.folder, tmp_path / "copy"))


def codec_of(folder: Path) -> PerRateCodecEntry:
    codec = ModelSet(folder).codec().entry
    assert isinstance(codec, PerRateCodecEntry)
    return codec


def test_an_encoder_makes_a_model_set(folder: Path) -> None:
    encoder = ModelSet(folder).manifest.encoder
    (folder / "manifest.json").unlink()
    assert set_encoder(folder, encoder).codecs == []
    assert ModelSet(folder).manifest.name == "copy"
    assert ModelSet(folder).encoder_fingerprint == model_file(folder / "encoder.onnx").sha256


def test_describing_the_same_encoder_keeps_its_codec(folder: Path) -> None:
    encoder = msgspec.structs.replace(ModelSet(folder).manifest.encoder, measured={"digits_1nn_accuracy": 0.5})
    set_encoder(folder, encoder)
    assert ModelSet(folder).manifest.encoder.measured == {"digits_1nn_accuracy": 0.5}
    assert codec_of(folder).rates


def test_another_encoder_does_not_get_the_codec(folder: Path) -> None:
    before = (folder / "manifest.json").read_bytes()
    encoder = msgspec.structs.replace(ModelSet(folder).manifest.encoder, graph=ModelFile("encoder.onnx", "0" * 64))
    with pytest.raises(ModelSetError, match="codecs trained for another encoder; name another folder"):
        set_encoder(folder, encoder)
    assert (folder / "manifest.json").read_bytes() == before


def test_a_codec_is_replaced(folder: Path) -> None:
    codec = codec_of(folder)
    set_codec(folder, msgspec.structs.replace(codec, rates=codec.rates[:1]))
    assert [rate.num_symbols for rate in ModelSet(folder).codec().rates] == [codec.rates[0].num_symbols]
    assert not list(folder.glob("*.part"))


def test_a_codec_whose_file_is_another_is_refused(folder: Path) -> None:
    codec = codec_of(folder)
    (folder / codec.rates[0].decoder.file).write_bytes(b"other")
    with pytest.raises(ModelSetError, match="not the file that the codec's entry describes"):
        set_codec(folder, codec)


def test_a_folder_that_is_gone_is_one_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelSetError, match=r"manifest\.json cannot be written: No such file"):
        write_manifest(tmp_path / "gone", ModelSet(folder).manifest)


def write(folder: Path, graph: bytes) -> ModelSet:
    """Write an encoder whose graph no test runs."""
    preprocessing = Preprocessing(8)
    return write_encoder(
        folder, graph, name="mine", feature_dim=16, preprocessing=preprocessing, licence="none", training_data="none"
    )


def test_a_written_encoder_is_a_model_set(tmp_path: Path) -> None:
    model_set = write(tmp_path / "new" / "set", b"graph")
    assert model_set.encoder_path.read_bytes() == b"graph"
    assert (model_set.name, model_set.codecs, model_set.feature_dim) == ("set", (), 16)


def test_codecs_trained_for_another_graph_stay(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ModelSetError, match="codecs trained for another encoder"):
        write(folder, b"other")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_codecs_trained_for_the_same_graph_stay(folder: Path) -> None:
    graph = ModelSet(folder).encoder_path.read_bytes()
    assert len(write(folder, graph).codecs) == 1


def test_a_full_disk_leaves_the_set_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, b"first")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fill(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(ModelSetError, match=r"encoder\.onnx: cannot be written: No space left on device; free some"):
        write(tmp_path, b"second")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_graph_is_written_before_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_then_write(folder: Path, manifest: Manifest) -> None:
        assert file_sha256(folder / manifest.encoder.graph.file) == manifest.encoder.graph.sha256
        write_manifest(folder, manifest)

    monkeypatch.setattr(model_set_writer, "write_manifest", check_then_write)
    assert write(tmp_path, b"graph").encoder_path == tmp_path / "encoder.onnx"
