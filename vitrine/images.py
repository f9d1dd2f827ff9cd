"""Bytes to pixels: what an image is by its first bytes, and how it looks as RGB."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from vitrine.config import Frozen
from vitrine.errors import ImageError
from vitrine.reasons import Reason

_MAGIC = re.compile(
    rb"(?P<jpeg>\xff\xd8\xff)"
    rb"|(?P<png>\x89PNG\r\n\x1a\n)"
    rb"|(?P<webp>RIFF.{4}WEBP)"
    rb"|(?P<gif>GIF8[79]a)"
    rb"|(?P<bmp>BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00{3})"
    rb"|(?P<tiff>II[*+]\x00|MM\x00[*+])"
    rb"|(?P<avif>.{4}ftyp(?:avif|avis|mif1|msf1))",
    re.DOTALL,
)
"""The first bytes of every supported format. "BM" alone begins many a text, so a bitmap shows its header's size too."""

_FULL_SCALES = {"I;16": (65535,), "I": (65535,), "F": (1, 255, 65535)}
"""What white may be, smallest first, in the modes whose pixels do not end at 255."""


class ImageHeader(Frozen):
    """What an image says of itself: its format in lower case, and its size in stored, unrotated pixels."""

    format: str
    width: int
    height: int


def read_header(data: bytes, max_pixels: int) -> ImageHeader:
    """Read an image's header without decoding its pixels.

    Raises:
        ImageError: `EMPTY`, there are no bytes; `NOT_AN_IMAGE`, they begin like no supported format; `TOO_LARGE`,
            width times height exceeds `max_pixels`; `LOAD_FAILED`, the header cannot be read.
    """
    image_format = _format_of(data)
    try:
        with _open(data, image_format) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise ImageError(Reason.TOO_LARGE, str(error)) from error
    # Pillow's decoders raise whatever a broken file leads them to.
    except Exception as error:
        raise _load_failed(error) from error
    if width * height > max_pixels:
        raise ImageError(Reason.TOO_LARGE, f"{width} x {height} pixels, more than the allowed {max_pixels}")
    return ImageHeader(format=image_format, width=width, height=height)


def decode_image(source: bytes | str | Path) -> Image.Image:
    """Decode an image, given as bytes or as a path, to the RGB image that a viewer would show.

    The EXIF rotation is applied, transparency lies on white, greys deeper than 8 bits are scaled,
    and of an animation the first frame counts.

    Raises:
        ImageError: `NOT_FOUND`, there is no such file; `EMPTY` and `NOT_AN_IMAGE`, as in `read_header`;
            `LOAD_FAILED`, it cannot be read or decoded, or has so many pixels that Pillow takes it for a bomb.
    """
    data = source if isinstance(source, bytes) else _read(Path(source))
    image_format = _format_of(data)
    try:
        image = _open(data, image_format)
        image.load()
        _rotate(image)
        return _to_rgb(image)
    # Pillow's decoders raise whatever a broken file leads them to.
    except Exception as error:
        raise _load_failed(error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(Reason.NOT_FOUND, "no such file") from error
    except OSError as error:
        raise ImageError(Reason.LOAD_FAILED, error.strerror or str(error)) from error


def _format_of(data: bytes) -> str:
    if not data:
        raise ImageError(Reason.EMPTY, "there are no bytes")
    match = _MAGIC.match(data)
    if match is None or match.lastgroup is None:
        raise ImageError(Reason.NOT_AN_IMAGE, f"begins with {data[:16]!r}, like no supported image format")
    return match.lastgroup


def _open(data: bytes, image_format: str) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=(image_format,))


def _load_failed(error: Exception) -> ImageError:
    # Pillow's own words for this one hold a memory address, which would differ from run to run.
    cause = "the header cannot be read" if isinstance(error, UnidentifiedImageError) else str(error)
    return ImageError(Reason.LOAD_FAILED, cause or type(error).__name__)


def _rotate(image: Image.Image) -> None:
    # A broken EXIF block is common, and no reason to lose the picture.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode[:4] in _FULL_SCALES:
        return _to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    peak = float(values.max())
    white = next((scale for scale in _FULL_SCALES[image.mode[:4]] if peak <= scale), peak)
    greys = np.rint(values.clip(0, white) * (255 / white)).astype(np.uint8)
    if "transparency" in image.info:
        greys[values == image.info["transparency"]] = 255
    return Image.fromarray(greys)


def _on_white(image: Image.Image) -> Image.Image:
    background = Image.new("RGB", image.size, "white")
    background.paste(image, mask=image)
    return background
