"""The codebook that a knowledge base makes: its file, and everything that is refused as one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.models.codebook import Codebook
from engines.models.knowledge_base_codebook import (
    ADAPTED,
    MAX_CODEBOOK_BYTES,
    KnowledgeBaseCodebook,
    label_hashes,
)
from semlink.errors import ModelSetError
from semlink.rates import RATES
from tests.support.codebooks import KNOWLEDGE_BASE, SPACE, small_code, small_codebook
from tests.support.vectors import unit


@pytest.fixture(scope="module")
def codebook() -> KnowledgeBaseCodebook:
    return small_codebook()


def unlabelled(code: Codebook) -> KnowledgeBaseCodebook:
    """The codebook of a knowledge base without labels."""
    return KnowledgeBaseCodebook.of(
        code,
        cell_labels=[""] * code.num_cells,
        cell_accuracies=np.ones(code.num_cells, np.float32),
        agreement=0.5,
        knowledge_base=KNOWLEDGE_BASE,
        space=SPACE,
    )


def arrays_of(codebook: KnowledgeBaseCodebook) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(codebook.content)) as stored:
        return dict(stored)


def file_of(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def read(content: bytes) -> KnowledgeBaseCodebook:
    return KnowledgeBaseCodebook.read(content, source="peer")


def refusal(content: bytes) -> str:
    with pytest.raises(ModelSetError) as caught:
        read(content)
    message = str(caught.value)
    assert message.startswith("peer: ")
    assert "\n" not in message
    return message


class TestQuantization:
    def test_code_is_that_of_the_exact_numbers_up_to_eight_bits(self) -> None:
        exact, quantized = small_code(), small_codebook().code
        np.testing.assert_array_equal(quantized.codewords, exact.codewords)
        np.testing.assert_allclose(quantized.centroids, exact.centroids, atol=np.abs(exact.centroids).max() / 127)
        projection = exact.analog_scale * exact.projection
        np.testing.assert_allclose(quantized.projection, projection, atol=np.abs(projection).max() / 127)
        assert quantized.analog_scale == 1.0
        assert quantized.energy_score_threshold is None

    def test_cells_that_the_projection_decides_keep_their_decisions(self) -> None:
        exact = small_code(32, analog_dim=20, decides_by_projection=True)
        codebook = unlabelled(exact)
        assert codebook.centroids.shape == (6, 20)
        directions = unit(np.random.default_rng(1).standard_normal((500, 32)))
        assert np.mean(codebook.code.cells(directions) == exact.cells(directions)) > 0.97
        assert len(set(exact.cells(directions))) == 6

    def test_code_without_cells_is_no_knowledge_bases(self) -> None:
        code = Codebook.without_cells(np.zeros(16, np.float32), np.eye(16, dtype=np.float32), analog_scale=4.0)
        with pytest.raises(ModelSetError, match="has no cells, which a knowledge base's codebook needs"):
            KnowledgeBaseCodebook.of(
                code,
                cell_labels=[],
                cell_accuracies=np.empty(0, np.float32),
                agreement=0.8,
                knowledge_base=KNOWLEDGE_BASE,
                space=SPACE,
            )

    def test_one_share_for_all_reals_becomes_one_for_each(self) -> None:
        code = replace(small_code(), digital_power_share=0.8, offsets=None)
        codebook = unlabelled(code)
        np.testing.assert_array_equal(codebook.code.digital_power_share, np.full(64, 0.8, np.float32))
        np.testing.assert_array_equal(codebook.code.offsets, np.zeros(6, np.float32))
        assert codebook.num_labelled_cells == 0

    def test_labels_are_hashes_and_none_is_zero(self, codebook: KnowledgeBaseCodebook) -> None:
        hashes = label_hashes(["apple", "", "apple", "boat"])
        assert hashes[0] == hashes[2] != hashes[3]
        assert hashes[1] == 0
        assert codebook.cell_labels[0] == hashes[0]
        assert codebook.num_labelled_cells == 4


class TestFile:
    def test_the_same_bytes_for_the_same_numbers(self, codebook: KnowledgeBaseCodebook, tmp_path: Path) -> None:
        path = tmp_path / "codebook.npz"
        path.write_bytes(codebook.content)
        stored = KnowledgeBaseCodebook.load(path)
        assert stored.content == codebook.content == small_codebook().content
        assert stored.sha256 == codebook.sha256
        features = np.random.default_rng(1).standard_normal((9, 16)).astype(np.float32)
        np.testing.assert_array_equal(stored.code.latent(features), codebook.code.latent(features))
        assert (stored.encoder_fingerprint, stored.knowledge_base.tobytes()) == (SPACE, KNOWLEDGE_BASE)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.npz", tmp_path):
            with pytest.raises(ModelSetError, match=str(path)):
                KnowledgeBaseCodebook.load(path)

    @pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
    def test_other_bytes(self, content: bytes) -> None:
        assert "does not hold a knowledge base's codebook" in refusal(content)

    def test_an_array_that_claims_a_terabyte(self) -> None:
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
        assert "does not hold" in refusal(buffer.getvalue())

    def test_truncated(self, codebook: KnowledgeBaseCodebook) -> None:
        content = codebook.content
        for length in (1, len(content) // 3, len(content) - 1):
            assert "does not hold a knowledge base's codebook" in refusal(content[:length])

    def test_oversized(self, codebook: KnowledgeBaseCodebook, tmp_path: Path) -> None:
        (tmp_path / "large.npz").write_bytes(codebook.content + bytes(MAX_CODEBOOK_BYTES))
        with pytest.raises(ModelSetError, match=f"more than {MAX_CODEBOOK_BYTES} bytes"):
            KnowledgeBaseCodebook.load(tmp_path / "large.npz")

    def test_a_small_file_that_unpacks_to_more_than_the_cap(self, codebook: KnowledgeBaseCodebook) -> None:
        arrays = arrays_of(codebook) | {"mean": np.zeros(100 * MAX_CODEBOOK_BYTES, np.float32)}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        assert len(buffer.getvalue()) < MAX_CODEBOOK_BYTES
        assert "does not hold" in refusal(buffer.getvalue())

    def test_a_file_of_another_version_of_python_keeps_its_hash(self, codebook: KnowledgeBaseCodebook) -> None:
        """Before 3.11.4 the sizes of a member were written in another way."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive, np.load(io.BytesIO(codebook.content)) as stored:
            for name in stored.zip.namelist():
                archive.writestr(zipfile.ZipInfo(name), stored.zip.read(name))
        content = buffer.getvalue()
        assert content != codebook.content
        other = read(content)
        assert other.content == content
        assert other.sha256 == hashlib.sha256(content).hexdigest() != codebook.sha256
        np.testing.assert_array_equal(other.centroids, codebook.centroids)

    @settings(max_examples=300)
    @given(data=st.data())
    def test_a_flipped_bit_is_refused_or_makes_another_codebook(self, data: st.DataObject) -> None:
        """Never the same codebook with other numbers; the archive has a CRC of each array."""
        codebook = small_codebook()
        content = bytearray(codebook.content)
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
        with contextlib.suppress(ModelSetError):
            other = read(bytes(content))
            assert other.sha256 != codebook.sha256
            np.testing.assert_array_equal(other.code.centroids, codebook.code.centroids)

    @pytest.mark.parametrize("name", sorted(arrays_of(small_codebook())))
    def test_every_array_is_needed(self, codebook: KnowledgeBaseCodebook, name: str) -> None:
        arrays = arrays_of(codebook)
        del arrays[name]
        assert "does not hold" in refusal(file_of(arrays))

    @pytest.mark.parametrize("wrong", [np.array(1), np.array(2.0), np.array([2, 2]), np.array("x" * 1000)])
    def test_another_format(self, codebook: KnowledgeBaseCodebook, wrong: np.ndarray) -> None:
        message = refusal(file_of(arrays_of(codebook) | {"format": wrong}))
        assert (
            "codebook format 1, this version reads 2; make it again" in message or "its format is no number" in message
        )
        assert len(message) < 200

    @pytest.mark.parametrize("name", sorted(set(arrays_of(small_codebook())) - {"format"}))
    @pytest.mark.parametrize("damage", ["dtype", "scalar", "longer", "none", "rows"])
    def test_arrays_of_other_types_and_shapes(self, codebook: KnowledgeBaseCodebook, name: str, damage: str) -> None:
        values = arrays_of(codebook)[name]
        wrong = {
            "dtype": values.astype(np.float64),
            "scalar": values.ravel()[0],
            "longer": np.concatenate([values, values]),
            "none": values[:0],
            "rows": values[None],
        }[damage]
        assert "codebook" in refusal(file_of(arrays_of(codebook) | {name: np.asarray(wrong)}))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
    @pytest.mark.parametrize(
        "name",
        [
            "mean",
            "projection_scales",
            "centroid_scales",
            "offsets",
            "cell_shares",
            "cell_accuracies",
            "digital_power_share",
            "agreement",
        ],
    )
    def test_numbers_that_no_codebook_has(self, codebook: KnowledgeBaseCodebook, name: str, value: float) -> None:
        values = arrays_of(codebook)[name]
        values[0] = value
        content = file_of(arrays_of(codebook) | {name: values})
        if value == 3e38 and name in ("mean", "offsets", "cell_shares"):
            assert read(content).sha256 != codebook.sha256
        else:
            assert "codebook" in refusal(content)

    def test_an_encoder_that_is_no_hash(self, codebook: KnowledgeBaseCodebook) -> None:
        space = np.frombuffer(b"\n" * 64, np.uint8)
        assert "not in hex digits" in refusal(file_of(arrays_of(codebook) | {"space": space}))


class TestIdentity:
    def test_every_rate_and_both_codes_have_their_own_fingerprint(self, codebook: KnowledgeBaseCodebook) -> None:
        code = codebook.nested_code
        assert (code.name, code.high_snr_name) == (ADAPTED, "adapted-high-snr")
        assert list(code.fingerprints) == list(code.high_snr_fingerprints) == list(RATES)
        assert len({*code.fingerprints.values(), *code.high_snr_fingerprints.values()}) == 2 * len(RATES)

    def test_another_codebook_has_other_fingerprints(self, codebook: KnowledgeBaseCodebook) -> None:
        other, of_other_space = small_codebook(seed=1), small_codebook("cd" * 32)
        for each in (other, of_other_space):
            assert each.sha256 != codebook.sha256
            assert set(each.fingerprints().values()).isdisjoint(codebook.fingerprints().values())

    def test_without_a_choice_of_power_there_is_one_code(self) -> None:
        code: Codebook = replace(small_code(), digital_power_share=0.5, high_snr_digital_power_share=0.5)
        codebook = unlabelled(code)
        assert not codebook.nested_code.high_snr_fingerprints

    def test_another_image_encoder_is_refused(self, codebook: KnowledgeBaseCodebook) -> None:
        codebook.require_encoder(SPACE, source="codebook.npz")
        with pytest.raises(ModelSetError, match=r"codebook\.npz: a codebook for the image encoder abab.*cdcd.*built"):
            codebook.require_encoder("cd" * 32, source="codebook.npz")
