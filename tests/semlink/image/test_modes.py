"""Pictures of every kind become one thing: upright RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semlink.image import Preprocessing, load_image, preprocess, read_image
from tests.support.pictures import encoded, largest_difference, noise, scene

EXIF_ORIENTATION = 0x0112


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
