"""Damaged files, large ones, and those that are refused."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semlink import image as image_module
from semlink.errors import ImageError
from semlink.image import MAX_PIXELS, MAX_SIDE_PX, Preprocessing, load_image, preprocess, read_image
from tests.support.deadlines import DEADLINE_S
from tests.support.pictures import encoded, largest_difference, noise, scene
from tests.support.processes import run_python

EXIF_ORIENTATION = 0x0112


class TestDamaged:
    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
    def test_truncated(self, file_format: str, tmp_path: Path) -> None:
        data = encoded(Image.fromarray(noise(64, 64)), file_format)
        path = tmp_path / "half"
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(ImageError, match="half: "):
            load_image(path)

    @pytest.mark.parametrize(
        ("content", "match"),
        [(b"", "not a picture"), (b"hello, world\n" * 20, "not a picture"), (b"\x89PNG\r\n\x1a\n", "")],
    )
    def test_no_picture(self, tmp_path: Path, content: bytes, match: str) -> None:
        path = tmp_path / "notes.jpg"
        path.write_bytes(content)
        with pytest.raises(ImageError, match=f"notes.jpg: .*{match}"):
            load_image(path)
        with pytest.raises(ImageError, match=f"^{len(content)} bytes: "):
            load_image(content)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"gone\.png: cannot be read: No such file or directory$"):
            load_image(tmp_path / "gone.png")

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"cannot be read: Is a directory$"):
            load_image(tmp_path)

    def test_impossible_path(self) -> None:
        with pytest.raises(ImageError, match="cannot be read"):
            load_image("a\0b.png")

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP")), st.data())
    def test_any_damage_is_a_picture_or_an_image_error(self, file_format: str, data: st.DataObject) -> None:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6
        intact = encoded(Image.fromarray(noise(8, 9)), file_format, exif=exif)
        damaged = bytearray(intact)
        for _ in range(data.draw(st.integers(1, 6))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        try:
            image = load_image(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
        except ImageError:
            return
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert image.dtype == np.uint8


class TestLarge:
    def test_twelve_thousand_by_nine_thousand(self, tmp_path: Path) -> None:
        path = tmp_path / "large.jpg"
        Image.new("RGB", (12_000, 9_000), (10, 120, 240)).save(path, quality=50)
        start_s = time.perf_counter()
        loaded = read_image(path, min_side_px=224)
        tensor = preprocess(loaded.pixels, Preprocessing(224))
        # Measured 0.08 s; the bound only tells it from decoding the whole.
        assert time.perf_counter() - start_s < DEADLINE_S
        # An eighth of each side, and the size that CBR counts is the file's all the same.
        assert loaded.pixels.shape == (1125, 1500, 3)
        assert (loaded.source_height_px, loaded.source_width_px) == (9_000, 12_000)
        assert largest_difference(tensor, np.broadcast_to(np.uint8([10, 120, 240]), tensor.shape)) <= 4

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
    @pytest.mark.process
    def test_memory_of_a_large_jpeg(self, tmp_path: Path) -> None:
        """libjpeg never holds the 324 MB of the whole: measured 31 MB."""
        path = tmp_path / "large.jpg"
        Image.new("RGB", (12_000, 9_000), (10, 120, 240)).save(path, quality=50)
        code = (
            "import re, sys\n"
            "from semlink.image import Preprocessing, load_image, preprocess\n"
            "def peak_kib(): return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
            "before = peak_kib()\n"
            "preprocess(load_image(sys.argv[1], min_side_px=224), Preprocessing(224))\n"
            "print(peak_kib() - before)\n"
        )
        assert int(run_python("-c", code, path).stdout) < 100 * 1024

    def test_draft_cannot_be_told_from_the_whole(self) -> None:
        data = encoded(Image.fromarray(scene(1800, 2400)), "JPEG", quality=90)
        drafted = load_image(data, min_side_px=224)
        assert drafted.shape == (900, 1200, 3)
        whole = preprocess(load_image(data), Preprocessing(224))
        difference = np.abs(preprocess(drafted, Preprocessing(224)).astype(np.int16) - whole)
        assert difference.max() <= 4
        assert difference.mean() < 0.5

    def test_draft_leaves_small_pictures_and_other_formats_alone(self) -> None:
        assert load_image(encoded(Image.fromarray(noise(300, 300)), "JPEG"), min_side_px=224).shape == (300, 300, 3)
        assert load_image(encoded(Image.fromarray(noise(300, 300)), "PNG"), min_side_px=8).shape == (300, 300, 3)

    def test_bomb_is_refused_before_it_is_decoded(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.png"
        width, height = 100_000, 50_000
        Image.new("1", (8, 8)).save(path)
        data = bytearray(path.read_bytes())
        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        # The header's checksum, so that nothing but the size is wrong.
        data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
        path.write_bytes(data)
        with pytest.raises(ImageError, match=r"bomb\.png: .*pixels"):
            load_image(path)

    def test_side_that_does_not_fit_a_frame(self) -> None:
        with pytest.raises(ImageError, match="65536 x 1 has a side of more than 65535 pixels"):
            load_image(encoded(Image.new("L", (MAX_SIDE_PX + 1, 1)), "PNG"))
        assert load_image(encoded(Image.new("L", (MAX_SIDE_PX, 1)), "PNG")).shape == (1, MAX_SIDE_PX, 3)

    def test_limit_is_below_pillows(self) -> None:
        """So that the refusal, and its words, are ours up to the size at which Pillow itself refuses."""
        assert Image.MAX_IMAGE_PIXELS is not None
        assert MAX_PIXELS <= 2 * Image.MAX_IMAGE_PIXELS

    def test_over_the_limit_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(image_module, "MAX_PIXELS", 34)
        with pytest.raises(ImageError, match="7 x 5 is more than 34 pixels; scale it down first"):
            load_image(encoded(Image.fromarray(noise(5, 7)), "PNG"))
