"""Keys that a transmitter holds, and the codewords that both ends derive."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from engines.models.entry_codebook import EntryCodebook, LabelChoice, entry_codewords
from semlink.errors import EngineError, ModelSetError
from semlink.rates import RATES, parse_rate
from tests.support.codebooks import KNOWLEDGE_BASE, SPACE, small_codebook
from tests.support.vectors import unit

ENTRIES = np.arange(200)


def test_codewords_have_unit_power_and_every_prefix_is_a_code() -> None:
    longest = entry_codewords(b"kb", ENTRIES, RATES[-1])
    for rate in RATES:
        words = entry_codewords(b"kb", ENTRIES, rate)
        assert words.shape == (200, rate.latent_dim)
        np.testing.assert_array_equal(words, longest[:, : rate.latent_dim])
        np.testing.assert_allclose(np.square(words).sum(axis=1), rate.num_symbols, rtol=1e-6)


def test_codewords_are_as_apart_as_random_ones() -> None:
    words = entry_codewords(b"kb", ENTRIES, parse_rate("64"))
    cosines = (words @ words.T / 64)[np.triu_indices(200, k=1)]
    assert abs(cosines.mean()) < 0.01
    assert cosines.std() == pytest.approx(128**-0.5, rel=0.05)


def test_golden_codeword_so_that_both_ends_agree_for_ever() -> None:
    signs = np.sign(entry_codewords(b"kb", np.array([7]), RATES[0])[0]).astype(int)
    assert signs.tolist() == [1, 1, 1, -1, 1, 1, -1, 1]


def test_another_knowledge_base_has_another_code() -> None:
    rate = parse_rate("64")
    assert (entry_codewords(b"kb", ENTRIES, rate) != entry_codewords(b"KB", ENTRIES, rate)).any(axis=1).all()


def test_keys_find_what_the_vectors_find(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((500, 32)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    keys = EntryCodebook.of(features, b"kb", space="s")
    path = tmp_path / "keys.npz"
    path.write_bytes(keys.to_bytes())
    stored = EntryCodebook.load(path)
    assert stored.knowledge_base == b"kb"
    np.testing.assert_allclose(stored.vectors, features, atol=0.005)
    queries = features + 0.1 * rng.standard_normal(features.shape).astype(np.float32)
    exact = (queries @ features.T).argmax(axis=1)
    assert np.mean(stored.nearest(queries) == exact) > 0.98


def test_thousands_of_keys_are_a_few_megabytes() -> None:
    features = np.random.default_rng(0).standard_normal((5000, 512)).astype(np.float32)
    assert len(EntryCodebook.of(features, b"kb", space="s").to_bytes()) < 3e6


@pytest.mark.parametrize(
    ("features", "message"),
    [(np.zeros((1, 31), np.float32), "must be"), (np.full((1, 32), np.nan, np.float32), "finite")],
)
def test_features_that_fit_no_key_are_refused(features: np.ndarray, message: str) -> None:
    keys = EntryCodebook.of(np.eye(32, dtype=np.float32), b"kb", space="s")
    with pytest.raises(EngineError, match=message):
        keys.nearest(features)


def test_damaged_keys_are_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.npz"
    with pytest.raises(ModelSetError, match="No such file"):
        EntryCodebook.load(path)
    whole = EntryCodebook.of(np.eye(32, dtype=np.float32), b"kb", space="s").to_bytes()
    for damaged in (b"", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ModelSetError, match="does not hold an entry codebook"):
            EntryCodebook.load(path)
    with pytest.raises(ModelSetError, match="do not fit"):
        EntryCodebook(np.zeros((3, 4), np.int8), np.ones(2, np.float32), b"kb", "s")


@pytest.fixture(scope="module")
def made() -> EntryCodebook:
    """Sixty entries of the cells of a codebook, of the last of which there is none."""
    features = unit(np.random.default_rng(1).standard_normal((60, 16)))
    cells = np.random.default_rng(2).integers(-1, 5, 60)
    return EntryCodebook.of(features, KNOWLEDGE_BASE, space=SPACE, choice=LabelChoice(small_codebook(), cells))


class TestLabelChoice:
    """A transmitter that decides the label first sends the nearest entry of that label."""

    def test_nearest_of_the_label(self, made: EntryCodebook, tmp_path: Path) -> None:
        path = tmp_path / "entries.npz"
        path.write_bytes(made.to_bytes())
        stored = EntryCodebook.load(path)
        images = unit(np.random.default_rng(3).standard_normal((200, 16)))
        code = made.choice.codebook.code
        decided = code.cells(code.directions(images))
        assert 5 in decided, "the test needs the cell without an entry"
        for entries in (made.nearest(images), stored.nearest(images)):
            for image, cell, entry in zip(images, decided, entries, strict=True):
                eligible = np.flatnonzero(made.choice.cells == cell) if cell < 5 else np.arange(60)
                assert entry == eligible[(made.vectors[eligible] @ image).argmax()]
        without = EntryCodebook.of(made.vectors, KNOWLEDGE_BASE, space=SPACE)
        assert (made.nearest(images) != without.nearest(images)).mean() > 0.3
        assert stored.fingerprint(RATES[0]) == made.fingerprint(RATES[0]) != without.fingerprint(RATES[0])

    def test_files_that_do_not_fit_together_are_refused(self, made: EntryCodebook, tmp_path: Path) -> None:
        path = tmp_path / "entries.npz"
        with np.load(io.BytesIO(made.to_bytes())) as stored:
            arrays = dict(stored)
        for name, value, message in (
            ("cells", arrays["cells"][:-1], "60 entries with 59 cells"),
            ("cells", arrays["cells"].astype(np.float32), "its cells or their codebook are missing"),
            ("codebook", arrays["codebook"][:-9], "does not hold a knowledge base's codebook"),
            ("codes", arrays["codes"][:, :8], "features of another width"),
            ("knowledge_base", np.zeros(32, np.uint8), "codebook of another knowledge base"),
            ("cells", None, "its cells or their codebook are missing"),
        ):
            changed = {key: each for key, each in (arrays | {name: value}).items() if each is not None}
            np.savez(path, **changed)
            with pytest.raises(ModelSetError, match=message):
                EntryCodebook.load(path)
