"""Pictures of every kind become one thing: upright RGB, prepared as torchvision would."""

from __future__ import annotations

import io
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from semlink import image as image_module
from semlink.errors import ConfigError, ImageError
from semlink.image import MAX_PIXELS, MAX_SIDE_PX, Preprocessing, RGBImage, load_image, preprocess, read_image
from tests.support.deadlines import DEADLINE_S
from tests.support.processes import run_python

EXIF_ORIENTATION = 0x0112


def noise(height: int, width: int, seed: int = 0) -> RGBImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scene(height: int, width: int) -> RGBImage:
    """Something with the spectrum of a photograph: soft shapes, edges, a little grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(2 * np.pi * (f * x + g * y) + p) / (1 + f + g) for f, g, p in rng.uniform(0, 8, (6, 3))]
    soft = np.stack([waves[0] + waves[c + 1] + waves[c + 3] for c in range(3)], axis=-1)
    edges = 40.0 * ((x - 0.5) ** 2 + (y - 0.3) ** 2 < 0.04)[..., None]
    return np.clip(128 + 60 * soft + edges + rng.normal(0, 2, soft.shape), 0, 255).astype(np.uint8)


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def torchvision_transform(
    image: RGBImage, size: int, resampling: Image.Resampling = Image.Resampling.BICUBIC
) -> RGBImage:
    """``Resize(size, resampling)`` then ``CenterCrop(size)`` of torchvision on a PIL image, as published.

    torchvision.transforms.functional: `_compute_resized_output_size`, `resize`, `center_crop`.
    """
    picture = Image.fromarray(image)
    width, height = picture.size
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = size, int(size * long / short)
    new_width, new_height = (new_short, new_long) if width <= height else (new_long, new_short)
    # One axis at a time, in the order of every Pillow that torchvision's weights were made with:
    # Pillow 13 runs the vertical pass first when the height shrinks more (python-pillow/Pillow#9549).
    picture = picture.resize((new_width, height), resampling)
    picture = picture.resize((new_width, new_height), resampling)
    top, left = round((new_height - size) / 2.0), round((new_width - size) / 2.0)
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def largest_difference(image: RGBImage, other: RGBImage) -> int:
    assert image.shape == other.shape
    return int(np.abs(image.astype(np.int16) - other.astype(np.int16)).max())


class TestPreprocess:
    @settings(max_examples=300, deadline=None)
    @given(st.integers(1, 300), st.integers(1, 300), st.sampled_from((1, 2, 7, 32, 224)), st.integers(0, 99))
    @example(1, 1, 224, 0)
    @example(2000, 1, 224, 0)
    @example(1, 2000, 32, 0)
    @example(3, 1999, 32, 0)
    @example(720, 1280, 224, 0)
    @example(225, 224, 224, 0)
    @example(224, 225, 224, 0)
    def test_is_torchvisions(self, height: int, width: int, size: int, seed: int) -> None:
        image = noise(height, width, seed)
        tensor = preprocess(image, Preprocessing(size_px=size))
        assert tensor.shape == (size, size, 3)
        assert tensor.dtype == np.uint8
        assert largest_difference(tensor, torchvision_transform(image, size)) <= 2

    @pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
    @pytest.mark.parametrize(
        ("height", "width"), [(720, 1280), (1080, 1920), (480, 640), (32, 32), (375, 500), (500, 333), (90, 3000)]
    )
    def test_differs_from_torchvisions_in_few_pixels(self, height: int, width: int, interpolation: str) -> None:
        image = noise(height, width)
        tensor = preprocess(image, Preprocessing(224, interpolation))
        reference = torchvision_transform(image, 224, Image.Resampling[interpolation.upper()])
        assert largest_difference(tensor, reference) <= 1
        assert np.mean(tensor != reference) < 1e-3

    @pytest.mark.parametrize(("height", "width", "checksum"), [(17, 8, 1322249), (300, 200, 1381251), (9, 60, 1494220)])
    def test_same_pixels_with_every_pillow(self, height: int, width: int, checksum: int) -> None:
        """Pillow 12 and 13 differ by up to 19 levels in one call of resize; these sums are of both."""
        tensor = preprocess(noise(height, width), Preprocessing(7)).astype(np.int64)
        weights = np.arange(1, tensor.size + 1).reshape(tensor.shape)
        assert int((tensor * weights).sum()) == checksum

    def test_same_size_is_identity(self) -> None:
        np.testing.assert_array_equal(preprocess(noise(32, 32), Preprocessing(32)), noise(32, 32))

    def test_strided_and_read_only_input(self) -> None:
        image = noise(60, 80)
        view = np.flip(np.flip(image, axis=1).copy(), axis=1)
        view.setflags(write=False)
        np.testing.assert_array_equal(preprocess(view, Preprocessing(32)), preprocess(image, Preprocessing(32)))

    def test_input_is_left_alone(self) -> None:
        image = noise(60, 80)
        preprocess(image, Preprocessing(32))
        np.testing.assert_array_equal(image, noise(60, 80))

    @pytest.mark.parametrize(
        "image",
        [
            np.zeros((4, 4), np.uint8),
            np.zeros((4, 4, 4), np.uint8),
            np.zeros((3, 4, 4), np.uint8),
            np.zeros((4, 4, 3), np.float32),
            np.zeros((0, 4, 3), np.uint8),
            np.zeros((4, 0, 3), np.uint8),
        ],
    )
    def test_what_is_no_image(self, image: np.ndarray) -> None:
        with pytest.raises(ImageError, match=r"image must be \(height, width, 3\) uint8, got"):
            preprocess(image, Preprocessing(32))

    @pytest.mark.parametrize("options", [{"size_px": 0}, {"size_px": -3}, {"size_px": 32, "interpolation": "area"}])
    def test_bad_options(self, options: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match="preprocessing"):
            Preprocessing(**options)


class TestModes:
    """One small picture in every mode that Pillow can store."""

    @pytest.mark.parametrize("file_format", ["PNG", "BMP", "PPM", "TIFF"])
    def test_rgb_is_lossless(self, file_format: str) -> None:
        np.testing.assert_array_equal(load_image(encoded(Image.fromarray(noise(5, 7)), file_format)), noise(5, 7))

    def test_result_is_contiguous_rgb(self) -> None:
        image = load_image(encoded(Image.fromarray(noise(5, 7)[:, :, 0]), "PNG"))
        assert image.shape == (5, 7, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous

    def test_path_and_bytes_agree(self, tmp_path: Path) -> None:
        path = tmp_path / "picture.png"
        path.write_bytes(encoded(Image.fromarray(noise(5, 7)), "PNG"))
        np.testing.assert_array_equal(load_image(path), noise(5, 7))
        np.testing.assert_array_equal(load_image(str(path)), noise(5, 7))

    def test_one_pixel(self) -> None:
        image = load_image(encoded(Image.fromarray(noise(1, 1)), "PNG"))
        assert preprocess(image, Preprocessing(224)).shape == (224, 224, 3)

    def test_grey(self) -> None:
        grey = noise(5, 7)[:, :, 0]
        image = load_image(encoded(Image.fromarray(grey), "PNG"))
        for channel in range(3):
            np.testing.assert_array_equal(image[:, :, channel], grey)

    def test_one_bit(self) -> None:
        bits = noise(5, 7)[:, :, 0] > 127
        image = load_image(encoded(Image.fromarray(bits), "PNG"))
        np.testing.assert_array_equal(image[:, :, 1], bits * 255)

    @pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
    def test_sixteen_bit_grey_is_scaled(self, file_format: str) -> None:
        deep = np.array([[0, 257, 128 * 257], [65535, 65535 - 257, 129]], dtype=np.uint16)
        image = load_image(encoded(Image.fromarray(deep), file_format))
        np.testing.assert_array_equal(image[:, :, 0], [[0, 1, 128], [255, 254, 1]])

    def test_float_tiff_with_nan(self) -> None:
        values = np.array([[0.0, 99.6], [np.nan, 300.0]], dtype=np.float32)
        image = load_image(encoded(Image.fromarray(values), "TIFF"))
        assert image.shape == (2, 2, 3)

    def test_palette(self) -> None:
        picture = Image.fromarray(noise(5, 7)).quantize(8)
        np.testing.assert_array_equal(load_image(encoded(picture, "PNG")), np.asarray(picture.convert("RGB")))

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_alpha_is_laid_over_white(self, mode: str) -> None:
        picture = Image.new(mode, (3, 1), 0)
        black = (0, 0, 0) if mode == "RGBA" else (0,)
        for x, alpha in enumerate((0, 255, 127)):
            picture.putpixel((x, 0), (*black, alpha))
        image = load_image(encoded(picture, "PNG"))
        np.testing.assert_array_equal(image[0, :, 0], [255, 0, 128])

    @pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
    def test_transparent_colour_is_white(self, mode: str) -> None:
        picture = Image.new(mode, (2, 1), 0)
        picture.putpixel((1, 0), {"RGB": (9, 9, 9), "1": 1}.get(mode, 9))
        transparent = (0, 0, 0) if mode == "RGB" else 0
        image = load_image(encoded(picture, "PNG", transparency=transparent))
        np.testing.assert_array_equal(image[0, 0], [255, 255, 255])

    def test_cmyk_jpeg(self) -> None:
        colours = np.full((16, 16, 3), (200, 30, 60), np.uint8)
        image = load_image(encoded(Image.fromarray(colours).convert("CMYK"), "JPEG", quality=95))
        assert largest_difference(image, colours) <= 8

    def test_grey_jpeg_with_draft(self) -> None:
        picture = Image.fromarray(scene(800, 900)[:, :, 0])
        assert load_image(encoded(picture, "JPEG"), min_side_px=32).shape[2] == 3

    def test_first_frame_of_an_animation(self) -> None:
        first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
        data = encoded(first, "GIF", save_all=True, append_images=[second], duration=10)
        np.testing.assert_array_equal(load_image(data)[0, 0], [255, 0, 0])

    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_every_exif_orientation(self, orientation: int, file_format: str) -> None:
        upright = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3) * 50, 16, axis=0), 16, axis=1)
        # What the camera stored so that the orientation's meaning (EXIF 2.32, tag 274) restores it.
        stored = {
            1: upright,
            2: np.fliplr(upright),
            3: np.rot90(upright, 2),
            4: np.flipud(upright),
            5: upright.T,
            6: np.rot90(upright, 1),
            7: np.rot90(upright, 2).T,
            8: np.rot90(upright, -1),
        }[orientation]
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        picture = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
        image = load_image(encoded(picture, file_format, exif=exif))
        assert image.shape == (*upright.shape, 3)
        assert largest_difference(image[:, :, 0], upright) <= 3

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_source_size_is_the_upright_pictures(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        loaded = read_image(encoded(Image.fromarray(noise(900, 1600)), "JPEG", exif=exif), min_side_px=32)
        wide = (900, 1600) if orientation < 5 else (1600, 900)
        assert (loaded.source_height_px, loaded.source_width_px) == wide
        # Drafted by the same factor in each direction, and turned alike.
        height, width, _ = loaded.pixels.shape
        assert (height > width) == (wide[0] > wide[1])
        assert height < wide[0]

    def test_nonsense_orientation_is_upright(self) -> None:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 99
        data = encoded(Image.fromarray(noise(5, 7)), "PNG", exif=exif)
        np.testing.assert_array_equal(load_image(data), noise(5, 7))


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
