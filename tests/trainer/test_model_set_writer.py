"""Model sets are written whole, and a codec never outlives its encoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from engines.models.manifest import ModelFile, PerRateCodecEntry
from engines.models.model_set import ModelSet
from semlink.errors import ModelSetError
from trainer.model_set_writer import model_file, set_codec, set_encoder, write_manifest


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
    with pytest.raises(ModelSetError, match="codecs trained for another encoder; give another folder"):
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
