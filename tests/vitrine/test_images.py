"""Images: real files in every odd form, compared to what a viewer shows."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from vitrine.errors import ImageError
from vitrine.images import ImageHeader, decode_image, read_header
from vitrine.reasons import Reason

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]
MANY = 10**9


def encoded(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def gradient(width=24, height=16):
    across = np.linspace(0, 255, width).astype(np.uint8)
    down = np.linspace(0, 255, height).astype(np.uint8)
    red, green = np.meshgrid(across, down)
    return Image.fromarray(np.dstack([red, green, np.full_like(red, 60)]))


def png(width, height, depth, colour, rows=b"", transparency=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    key = chunk(b"tRNS", transparency) if transparency else b""
    return b"\x89PNG\r\n\x1a\n" + header + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def reason_of(call, *arguments):
    with pytest.raises(ImageError) as raised:
        call(*arguments)
    assert str(raised.value)
    return raised.value.reason


class TestReadHeader:
    @pytest.mark.parametrize("image_format", FORMATS)
    def test_tells_format_and_size(self, image_format):
        header = read_header(encoded(gradient(24, 16), image_format), MANY)
        assert header == ImageHeader(format=image_format.lower(), width=24, height=16)

    @pytest.mark.parametrize(
        "data",
        [
            b"<!DOCTYPE html><html>no such product</html>",
            b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
            b"BMW makes cars, and this is a text about them",
            b"RIFF\x00\x00\x00\x00WAVEfmt ",
            b"\x00",
        ],
    )
    def test_what_is_no_image(self, data):
        assert reason_of(read_header, data, MANY) == Reason.NOT_AN_IMAGE

    def test_nothing(self):
        assert reason_of(read_header, b"", MANY) == Reason.EMPTY

    def test_bounds_the_pixels_exactly(self):
        data = encoded(gradient(24, 16), "PNG")
        assert read_header(data, 24 * 16).width == 24
        assert reason_of(read_header, data, 24 * 16 - 1) == Reason.TOO_LARGE

    def test_a_bomb_is_told_by_its_header_alone(self):
        assert reason_of(read_header, png(60_000, 60_000, 8, 2), 100_000_000) == Reason.TOO_LARGE

    @pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
    def test_a_broken_header(self, image_format):
        assert reason_of(read_header, encoded(gradient(), image_format)[:20], MANY) == Reason.LOAD_FAILED

    def test_a_truncated_body_is_not_noticed(self):
        data = encoded(gradient(200, 200), "JPEG")
        assert read_header(data[: len(data) - 200], MANY).height == 200


class TestDecode:
    @pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF"])
    def test_lossless_formats_to_the_pixel(self, image_format):
        image = gradient()
        assert np.array_equal(pixels(decode_image(encoded(image, image_format))), pixels(image))

    @pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "AVIF"])
    def test_lossy_formats_nearly(self, image_format):
        image = gradient()
        decoded = decode_image(encoded(image, image_format, quality=95))
        assert np.abs(pixels(decoded) - pixels(image)).mean() < 6

    def test_a_path_and_its_bytes_are_the_same(self, tmp_path):
        path = tmp_path / "wrong name.txt"
        path.write_bytes(encoded(gradient(), "PNG"))
        expected = pixels(gradient())
        for source in (path, str(path), path.read_bytes()):
            assert np.array_equal(pixels(decode_image(source)), expected)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_every_exif_orientation(self, orientation):
        upright = gradient()
        # What the camera stored: the inverse of the turn that the orientation asks for.
        stored = {
            1: lambda a: a,
            2: lambda a: a[:, ::-1],
            3: lambda a: a[::-1, ::-1],
            4: lambda a: a[::-1],
            5: lambda a: a.transpose(1, 0, 2),
            6: lambda a: np.rot90(a, 1),
            7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
            8: lambda a: np.rot90(a, -1),
        }[orientation](np.asarray(upright))
        exif = Image.Exif()
        exif[0x0112] = orientation
        for image_format in ("PNG", "TIFF"):
            data = encoded(Image.fromarray(np.ascontiguousarray(stored)), image_format, exif=exif)
            assert np.array_equal(pixels(decode_image(data)), pixels(upright)), image_format

    def test_jpeg_orientation(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded(gradient(24, 16), "JPEG", exif=exif)
        assert decode_image(data).size == (16, 24)
        assert read_header(data, MANY).width == 24

    def test_a_broken_exif_block_loses_no_picture(self):
        data = encoded(gradient(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2agarbage")
        assert decode_image(data).size == (24, 16)

    def test_transparency_lies_on_white(self):
        image = Image.new("RGBA", (3, 1))
        image.putdata([(200, 0, 0, 255), (200, 0, 0, 0), (200, 0, 0, 51)])
        assert pixels(decode_image(encoded(image, "PNG"))).tolist() == [[[200, 0, 0], [255, 255, 255], [244, 204, 204]]]

    def test_grey_with_transparency_lies_on_white(self):
        image = Image.new("LA", (2, 1))
        image.putdata([(100, 255), (100, 0)])
        assert pixels(decode_image(encoded(image, "PNG"))).tolist() == [[[100] * 3, [255] * 3]]

    @pytest.mark.parametrize("alphas", [1, b"\xff\x00"], ids=["one colour", "alphas"])
    def test_palette_with_transparency_lies_on_white(self, alphas):
        image = Image.new("P", (2, 1))
        image.putpalette([0, 0, 255, 0, 255, 0])
        image.putdata([0, 1])
        data = encoded(image, "PNG", transparency=alphas)
        assert pixels(decode_image(data)).tolist() == [[[0, 0, 255], [255, 255, 255]]]

    def test_transparent_gif_lies_on_white(self):
        image = Image.new("P", (2, 1))
        image.putpalette([0, 0, 255, 0, 255, 0])
        image.putdata([0, 1])
        data = encoded(image, "GIF", transparency=1)
        assert pixels(decode_image(data)).tolist() == [[[0, 0, 255], [255, 255, 255]]]

    def test_transparent_colour_of_16_bit_grey_lies_on_white(self):
        row = b"\x00" + struct.pack(">HH", 0, 40_000)
        data = png(2, 1, 16, 0, row, transparency=struct.pack(">H", 40_000))
        assert pixels(decode_image(data)).tolist() == [[[0] * 3, [255] * 3]]

    def test_plain_palette_and_bits(self):
        palette = Image.new("P", (2, 1))
        palette.putpalette([9, 8, 7, 6, 5, 4])
        palette.putdata([0, 1])
        assert pixels(decode_image(encoded(palette, "PNG"))).tolist() == [[[9, 8, 7], [6, 5, 4]]]
        bits = Image.new("1", (2, 1))
        bits.putdata([0, 255])
        assert pixels(decode_image(encoded(bits, "PNG"))).tolist() == [[[0] * 3, [255] * 3]]

    @pytest.mark.parametrize("image_format", ["TIFF", "JPEG"])
    def test_cmyk(self, image_format):
        # Pillow, like Adobe, stores the CMYK of a JPEG inverted, and that of a TIFF as it is.
        image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        decoded = pixels(decode_image(encoded(image, image_format)))
        assert np.abs(decoded - [255, 0, 0]).max() <= 3

    @pytest.mark.parametrize("order", ["<u2", ">u2"])
    def test_16_bit_grey_keeps_its_shape(self, order):
        ramp = np.linspace(0, 65_535, 256).astype(order)
        mode = "I;16" if order == "<u2" else "I;16B"
        image = Image.frombytes(mode, (256, 1), ramp.tobytes())
        for image_format in ("PNG", "TIFF"):
            decoded = pixels(decode_image(encoded(image, image_format)))
            assert np.array_equal(decoded[0, :, 0], np.arange(256)), image_format
            assert np.array_equal(decoded[..., 0], decoded[..., 2])

    def test_a_dark_16_bit_grey_stays_dark(self):
        image = Image.frombytes("I;16", (2, 1), np.array([0, 2_570], "<u2").tobytes())
        assert pixels(decode_image(encoded(image, "PNG")))[0, :, 0].tolist() == [0, 10]

    def test_32_bit_integers(self):
        image = Image.fromarray(np.array([[0, 32_768, 65_535]], np.int32))
        assert pixels(decode_image(encoded(image, "TIFF")))[0, :, 0].tolist() == [0, 128, 255]
        deeper = Image.fromarray(np.array([[0, 510_000, 2_550_000]], np.int32))
        assert pixels(decode_image(encoded(deeper, "TIFF")))[0, :, 0].tolist() == [0, 51, 255]

    @pytest.mark.parametrize(
        ("values", "greys"),
        [
            ([0, 0.2, 1], [0, 51, 255]),
            ([-3, 51, 255], [0, 51, 255]),
            ([0, 13_107, 65_535], [0, 51, 255]),
            ([0, 0, 0], [0, 0, 0]),
            ([float("nan"), 0.2, 1], [0, 51, 255]),
        ],
    )
    def test_floats(self, values, greys):
        image = Image.fromarray(np.array([values], np.float32))
        assert pixels(decode_image(encoded(image, "TIFF")))[0, :, 0].tolist() == greys

    def test_16_bit_colour(self):
        rows = b"\x00" + struct.pack(">6H", 0, 0x8000, 0xFFFF, 0xFFFF, 0, 0x4000)
        decoded = pixels(decode_image(png(2, 1, 16, 2, rows)))
        assert np.abs(decoded - [[[0, 128, 255], [255, 0, 64]]]).max() <= 1

    @pytest.mark.parametrize("image_format", ["GIF", "WEBP"])
    def test_the_first_frame_of_an_animation(self, image_format):
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], duration=50)
        assert np.abs(pixels(decode_image(data)) - [255, 0, 0]).max() <= 3

    @pytest.mark.parametrize("image_format", FORMATS)
    def test_truncated(self, image_format):
        data = encoded(gradient(64, 64), image_format)
        assert reason_of(decode_image, data[: len(data) * 2 // 3]) == Reason.LOAD_FAILED

    def test_corrupt(self):
        data = bytearray(encoded(gradient(64, 64), "PNG"))
        data[60:] = bytes(len(data) - 60)
        assert reason_of(decode_image, bytes(data)) == Reason.LOAD_FAILED

    def test_a_bomb(self):
        assert reason_of(decode_image, png(60_000, 60_000, 8, 2)) == Reason.LOAD_FAILED

    def test_what_is_no_image(self, tmp_path):
        assert reason_of(decode_image, b"this is a text") == Reason.NOT_AN_IMAGE
        assert reason_of(decode_image, b"") == Reason.EMPTY
        assert reason_of(decode_image, tmp_path) == Reason.LOAD_FAILED
        assert reason_of(decode_image, tmp_path / "none.jpg") == Reason.NOT_FOUND

    def test_messages_are_the_same_each_time(self):
        data = encoded(gradient(), "TIFF")[:20]
        messages = set()
        for _ in range(2):
            with pytest.raises(ImageError) as raised:
                decode_image(data)
            messages.add(str(raised.value))
        assert len(messages) == 1
        assert "0x" not in messages.pop()

    def test_in_many_threads(self):
        data = [encoded(gradient(16 + i, 16), image_format) for i in range(4) for image_format in FORMATS] * 4
        with ThreadPoolExecutor(8) as pool:
            sizes = [image.size for image in pool.map(decode_image, data)]
        assert sizes == [(16 + i, 16) for i in range(4) for _ in FORMATS] * 4
