"""Model sets: the manifest vouches for the files, and says so when it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from engines.backends.runner import TensorSpec
from engines.models import model_set as modelset_module
from engines.models.codecs import NestedCodec
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, EngineError, ModelSetError
from semlink.files import file_sha256
from semlink.frame import FINGERPRINT_BYTES
from semlink.rates import RATES, parse_rate
from tests.support.model_sets import make_model_set

RATE, OTHER_RATE, ABSENT_RATE = parse_rate("16"), parse_rate("64"), parse_rate("1024")

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(model_set: ModelSet, tmp_path: Path) -> Path:
    """A copy of the model set, to be broken."""
    return Path(shutil.copytree(model_set.folder, tmp_path / "set"))


def edit_manifest(folder: Path, edit: Edit) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def with_hash_of(folder: Path, name: str) -> dict[str, str]:
    return {"file": name, "sha256": file_sha256(folder / name)}


class TestOpening:
    def test_rates_are_sorted(self, tmp_path: Path) -> None:
        rates = make_model_set(tmp_path, rates=(64, 16, 256)).codec().rates
        assert [rate.num_symbols for rate in rates] == [16, 64, 256]

    def test_set_without_a_codec(self, tmp_path: Path) -> None:
        models = make_model_set(tmp_path, rates=())
        assert models.codecs == ()
        with pytest.raises(ModelSetError, match='"synthetic" has no codec; a link needs a set with one'):
            models.codec()

    def test_codecs_are_found_by_name(self, tmp_path: Path) -> None:
        models = make_model_set(tmp_path, nested=True, categories=("boat", "cat"))
        assert " ".join(codec.name for codec in models.codecs) == "synthetic-codec nested nested-cells nested-labels"
        assert models.codec() is models.codec("synthetic-codec")
        assert models.codec("nested").rates == RATES
        hints = {"vq": "", "adpted": "; did you mean 'adapted'", "adapted": ".*--codebook FILE, or --feedback"}
        for name, hint in hints.items():
            with pytest.raises(ConfigError, match=f"no codec {name}; it has: synthetic-codec, .*nested-labels{hint}"):
                models.codec(name)

    def test_graphs_are_loaded_and_run(self, model_set: ModelSet) -> None:
        images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
        features = model_set.load_encoder()(images)
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, rtol=1e-5)
        query = model_set.codec().load_decoder(RATE)(model_set.codec().load_encoder(RATE)(features))
        np.testing.assert_allclose(query, features, atol=1e-5)

    def test_image_spec(self, model_set: ModelSet) -> None:
        assert model_set.image_spec == TensorSpec("image", np.dtype(np.uint8), (None, 8, 8, 3))

    def test_find_by_folder_or_name(self, model_set: ModelSet, monkeypatch: pytest.MonkeyPatch) -> None:
        assert ModelSet.find(str(model_set.folder)).manifest == model_set.manifest
        monkeypatch.setattr(modelset_module, "BUILTIN_MODEL_SETS", model_set.folder.parent)
        assert ModelSet.find(model_set.folder.name).folder == model_set.folder
        with pytest.raises(ModelSetError, match=r'"nothing" is neither a folder nor built in \(.*synthetic'):
            ModelSet.find("nothing")


class TestManifest:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ModelSetError, match=r"not a model set: manifest\.json: No such file or directory"):
            ModelSet(tmp_path)

    def test_folder_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").mkdir()
        with pytest.raises(ModelSetError, match=r"manifest\.json: Is a directory"):
            ModelSet(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"\xff"', b"{}", b'{"format": 1}'])
    def test_garbage(self, folder: Path, content: bytes) -> None:
        (folder / "manifest.json").write_bytes(content)
        with pytest.raises(ModelSetError, match=r"manifest\.json: "):
            ModelSet(folder)

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda m: m.update(colour="red"), "unknown field `colour`"),
            (lambda m: m["encoder"].update(scale=2), "unknown field `scale`"),
            (lambda m: m["encoder"]["preprocessing"].update(mean=0), "unknown field `mean`"),
            (lambda m: m["encoder"].pop("licence"), "missing required field `licence`"),
            (lambda m: m["encoder"].update(feature_dim="512"), "Expected `int`, got `str`"),
            (lambda m: m["encoder"].update(feature_dim=0), "feature_dim must be at least 1, got 0"),
            (lambda m: m["encoder"]["preprocessing"].update(size_px=0), "size_px must be at least 1, got 0"),
            (
                lambda m: m["encoder"]["preprocessing"].update(interpolation="area"),
                'must be "bicubic" or "bilinear", got "area"',
            ),
            (lambda m: m.update(format=1), "manifest format 1, this version reads 2; make the set again"),
            (lambda m: m.update(format=3), "manifest format 3, this version reads 2; update semlink"),
            (lambda m: m["codecs"][0]["rates"][0].update(num_symbols=65), 'rate "65" is unknown'),
            (lambda m: m["codecs"][0]["rates"][0].update(num_symbols=-16), 'rate "-16" is unknown'),
            (lambda m: m["codecs"][0]["rates"][0].update(num_symbols=64), "a rate appears twice"),
        ],
    )
    def test_faults_are_named(self, folder: Path, edit: Edit, words: str) -> None:
        edit_manifest(folder, edit)
        with pytest.raises(ModelSetError) as caught:
            ModelSet(folder)
        assert words in str(caught.value)
        assert str(folder) in str(caught.value)


class TestFiles:
    def test_wrong_hash(self, folder: Path) -> None:
        path = folder / "codec-16.encoder.onnx"
        path.write_bytes(path.read_bytes() + b"\0")
        models = ModelSet(folder)
        with pytest.raises(ModelSetError, match=r"codec-16\.encoder\.onnx: sha256 is \w{12}\.\.\., the manifest says"):
            models.codec().load_encoder(RATE)
        models.codec().load_decoder(RATE)

    def test_every_file_is_checked(self, folder: Path) -> None:
        for path in folder.glob("*.onnx"):
            path.write_bytes(b"altered")
        models = ModelSet(folder)
        for load in (
            models.load_encoder,
            lambda: models.codec().load_encoder(RATE),
            lambda: models.codec().load_decoder(RATE),
        ):
            with pytest.raises(ModelSetError, match="sha256"):
                load()

    def test_missing_file(self, folder: Path) -> None:
        """A receiver has no codec encoders: what is not asked for may be absent."""
        (folder / "codec-16.encoder.onnx").unlink()
        models = ModelSet(folder)
        models.codec().load_decoder(RATE)
        with pytest.raises(ModelSetError, match="No such file or directory; the model set is incomplete"):
            models.codec().load_encoder(RATE)

    def test_missing_rate_names_the_present(self, model_set: ModelSet) -> None:
        for ask in (
            model_set.codec().fingerprint,
            model_set.codec().encoder_path,
            model_set.codec().decoder_path,
            model_set.codec().load_encoder,
            model_set.codec().load_decoder,
        ):
            with pytest.raises(ModelSetError, match=r"no rate of 1024 symbols; it has: 16 \(1/192\), 64 \(1/48\)"):
                ask(ABSENT_RATE)

    @pytest.mark.parametrize(
        "name",
        [
            "../outside.onnx",
            "/etc/hostname",
            "sub/../../outside.onnx",
            "sub/inside.onnx",
            ".",
            "..",
            "",
            "a\0b",
            "..\\x",
        ],
    )
    def test_manifest_cannot_name_a_file_elsewhere(self, folder: Path, name: str) -> None:
        outside = folder.parent / "outside.onnx"
        shutil.copy(folder / "encoder.onnx", outside)
        (folder / "sub").mkdir()
        shutil.copy(outside, folder / "sub" / "inside.onnx")
        edit_manifest(folder, lambda m: m["encoder"].update(graph={"file": name, "sha256": file_sha256(outside)}))
        with pytest.raises(ModelSetError, match=r"manifest\.json: a model's file must be a plain name"):
            ModelSet(folder)


class TestShapes:
    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (
                lambda m: m["encoder"].update(feature_dim=17),
                r"encoder\.onnx: expected features: float32 \(\?, 17\), the graph has features: float32 \(\?, 16\)",
            ),
            (
                lambda m: m["encoder"]["preprocessing"].update(size_px=9),
                r"expected image: uint8 \(\?, 9, 9, 3\), the graph has image: uint8 \(\?, 8, 8, 3\)",
            ),
        ],
    )
    def test_encoder(self, folder: Path, edit: Edit, words: str) -> None:
        edit_manifest(folder, edit)
        with pytest.raises(ModelSetError, match=f"{words}; the manifest and the graph disagree"):
            ModelSet(folder).load_encoder()

    def test_codec_of_another_rate(self, folder: Path) -> None:
        def swap(manifest: dict[str, Any]) -> None:
            small, large = manifest["codecs"][0]["rates"]
            small["encoder"], large["encoder"] = large["encoder"], small["encoder"]
            small["decoder"], large["decoder"] = large["decoder"], small["decoder"]

        edit_manifest(folder, swap)
        models = ModelSet(folder)
        with pytest.raises(ModelSetError, match=r"expected latent: float32 \(\?, 32\), the graph has latent: .*128"):
            models.codec().load_encoder(RATE)
        with pytest.raises(ModelSetError, match=r"expected latent: float32 \(\?, 128\), the graph has latent: .*32"):
            models.codec().load_decoder(OTHER_RATE)

    def test_file_that_is_no_graph(self, folder: Path) -> None:
        (folder / "encoder.onnx").write_bytes(b"garbage")
        edit_manifest(folder, lambda m: m["encoder"].update(graph=with_hash_of(folder, "encoder.onnx")))
        with pytest.raises(EngineError, match=r"encoder\.onnx: ONNX Runtime cannot load it"):
            ModelSet(folder).load_encoder()


class TestFingerprints:
    def test_one_for_each_rate(self, model_set: ModelSet, other_model_set: ModelSet) -> None:
        fingerprints = [
            models.codec().fingerprint(rate) for models in (model_set, other_model_set) for rate in models.codec().rates
        ]
        assert len(set(fingerprints)) == 4
        assert {len(fingerprint) for fingerprint in fingerprints} == {FINGERPRINT_BYTES}

    def test_nested_follows_every_file_of_its_own(self, tmp_path: Path) -> None:
        models = make_model_set(tmp_path, rates=(), nested=True, categories=("boat", "cat"))
        nested, cells, labels = models.codecs
        before = {codec.name: codec.fingerprint(RATE) for codec in models.codecs}
        assert len({codec.fingerprint(rate) for codec in models.codecs for rate in RATES}) == 3 * len(RATES)
        edit_manifest(tmp_path, lambda m: m["codecs"][2]["keys"]["proxies"].update(sha256="0" * 64))
        changed = ModelSet(tmp_path)
        assert changed.codec("nested").fingerprint(RATE) == before[nested.name]
        assert changed.codec("nested-cells").fingerprint(RATE) == before[cells.name]
        assert changed.codec("nested-labels").fingerprint(RATE) != before[labels.name]

    @pytest.mark.parametrize("name", ["encoder.onnx", "codec-16.encoder.onnx", "codec-16.decoder.onnx"])
    def test_follows_the_content_of_every_graph(self, folder: Path, name: str) -> None:
        before = ModelSet(folder).codec().fingerprint(RATE)
        model = onnx.load(folder / name)
        model.doc_string = "retrained"
        onnx.save(model, folder / name)

        def rehash(manifest: dict[str, Any]) -> None:
            entry = manifest["codecs"][0]["rates"][0]
            manifest["encoder"]["graph"] = with_hash_of(folder, "encoder.onnx")
            entry["encoder"] = with_hash_of(folder, "codec-16.encoder.onnx")
            entry["decoder"] = with_hash_of(folder, "codec-16.decoder.onnx")

        edit_manifest(folder, rehash)
        assert ModelSet(folder).codec().fingerprint(RATE) != before

    def test_does_not_follow_names(self, folder: Path) -> None:
        before = ModelSet(folder).codec().fingerprint(RATE)
        edit_manifest(folder, lambda m: m.update(name="renamed", created="2027-01-01"))
        assert ModelSet(folder).codec().fingerprint(RATE) == before

    def test_knowledge_base_is_bound_to_the_encoder_alone(self, model_set: ModelSet, tmp_path: Path) -> None:
        same_encoder = make_model_set(tmp_path, rates=(16,))
        assert same_encoder.encoder_fingerprint == model_set.encoder_fingerprint
        assert same_encoder.encoder_fingerprint == file_sha256(tmp_path / "encoder.onnx")


def test_frames_that_0_1_sent_as_nested_are_those_of_nested_cells() -> None:
    """A receiver of this version decodes what a transmitter of 0.1 sends."""
    of_0_1 = bytes.fromhex("58d83ce0ed1a01f763f4d61e53fb7a57")
    builtin = ModelSet.find("builtin")
    assert builtin.codec().name == "nested"
    assert builtin.codec("nested-cells").fingerprint(parse_rate("64")) == of_0_1


def test_builtin_sets_hold_what_their_manifests_say() -> None:
    for manifest in modelset_module.BUILTIN_MODEL_SETS.glob("*/manifest.json"):
        models = ModelSet(manifest.parent)
        models.load_encoder()
        for codec in models.codecs:
            if isinstance(codec, NestedCodec):
                assert codec.codebook.has_cells == (codec.name != "nested")
                assert (codec.load_projection_head() is None) == (codec.entry.projection is None)
                continue
            for rate in codec.rates:
                codec.load_encoder(rate)
                codec.load_decoder(rate)
