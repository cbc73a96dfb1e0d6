"""photographs.webp: rows of photographs, their matches and stills."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semlink.errors import ResultsError
from trainer.demo.gallery import Gallery, ShownImage, ShownMatch
from trainer.demo.measure import Retrieval
from trainer.demo.picture import write_picture
from trainer.demo.stills import smallest_still

COLOURS = ("#808080", "#ff0000", "#00ff00", "#909090", "#0000ff")


def gallery(*, snr_db: Sequence[float] = (-7.0, 0.0, 10.0), label: str = "cat") -> Gallery:
    """Five uniform photographs, two of them grey."""
    images = []
    for colour in COLOURS:
        picture = Image.new("RGB", (320, 240), colour)
        matches = [ShownMatch(each, picture, Retrieval("x", "cat", 1, label, 0.5, 5.0)) for each in snr_db]
        images.append(ShownImage("cat", picture, matches, smallest_still(picture)))
    return Gallery("nested", "1/48", 64, images, are_photographs=True)


def has_colour(picture: Image.Image, colour: tuple[int, int, int]) -> bool:
    """Whether a twentieth of the picture is about this colour, which lossy compression changes a little."""
    distance = np.abs(np.asarray(picture, dtype=np.int64) - colour).max(axis=2)
    return bool(np.mean(distance < 40) > 0.05)


def test_the_most_colourful_photographs_are_drawn(tmp_path: Path) -> None:
    write_picture(gallery(), tmp_path / "picture.webp")
    with Image.open(tmp_path / "picture.webp") as file:
        picture = file.convert("RGB")
    assert all(has_colour(picture, colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    assert not has_colour(picture, (128, 128, 128))


@pytest.mark.parametrize(("snr_db", "num_columns"), [((0.0,), 3), ((-7.0, 10.0), 4), (range(-8, 9), 5)])
def test_there_is_a_column_for_each_of_three_snrs_at_most(
    tmp_path: Path, snr_db: Sequence[float], num_columns: int
) -> None:
    widths = []
    for each in (snr_db, (0.0,)):
        write_picture(gallery(snr_db=each), tmp_path / "picture.webp")
        with Image.open(tmp_path / "picture.webp") as file:
            widths.append(file.width)
    assert (widths[0] - widths[1]) % (num_columns - 3 or 1) == 0
    assert widths[0] / widths[1] == pytest.approx(num_columns / 3, rel=0.02)


def test_an_incorrect_match_looks_different(tmp_path: Path) -> None:
    for name, label in (("correct", "cat"), ("incorrect", "dog")):
        write_picture(gallery(label=label), tmp_path / name)
    assert (tmp_path / "correct").read_bytes() != (tmp_path / "incorrect").read_bytes()


def test_a_picture_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"picture\.webp: No such file"):
        write_picture(gallery(), tmp_path / "none" / "picture.webp")
