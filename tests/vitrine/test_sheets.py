import io

import numpy as np
import pytest
from PIL import Image

from vitrine.sheets import Neighbor, Neighborhood, Picture, contact_sheet, neighbor_sheet

RED, GREEN, BLUE, GREY = (200, 0, 0), (0x2E, 0x9E, 0x5B), (0x3B, 0x7D, 0xD8), (0xBD, 0xBD, 0xBD)


def red(width: int = 200, height: int = 200) -> Image.Image:
    return Image.new("RGB", (width, height), RED)


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return image.convert("RGB")


def area(png: bytes, color: tuple[int, int, int]) -> int:
    """Pixels of exactly this colour."""
    return int((np.asarray(opened(png)) == color).all(axis=2).sum())


def ink(png: bytes) -> int:
    """Pixels that are dark enough to be text."""
    return int((np.asarray(opened(png)).max(axis=2) < 128).sum())


def test_every_image_is_on_the_contact_sheet() -> None:
    png = contact_sheet([red()] * 7, ["caption"] * 7, "title", columns=3)
    assert area(png, RED) == 7 * 180 * 180
    assert opened(png).size == (48 + 3 * 204, 64 + 3 * 224 + 24)


def test_a_thumbnail_keeps_its_shape_and_a_small_image_its_size() -> None:
    assert area(contact_sheet([red(1000, 500)], [""], ""), RED) == 180 * 90
    assert area(contact_sheet([red(20, 10)], [""], ""), RED) == 20 * 10
    assert area(contact_sheet([red(5000, 2)], [""], ""), RED) == 180


def test_titles_and_captions_are_written() -> None:
    bare = ink(contact_sheet([red()], [""], ""))
    assert bare < ink(contact_sheet([red()], [""], "title"))
    assert bare < ink(contact_sheet([red()], ["caption"], ""))


def test_a_long_caption_stays_in_its_cell() -> None:
    png = contact_sheet([red(), red()], ["m" * 5000, ""], "", columns=2)
    pixels = np.asarray(opened(png)).max(axis=2) < 128
    assert pixels[:, 24 : 24 + 204].any()
    assert not pixels[:, 24 + 204 :].any()


@pytest.mark.parametrize("caption", ["стул", "椅子", "كرسي", "😀", "two\nlines", "\x00\x07", "e\u0301"])
def test_any_caption_can_be_written(caption: str) -> None:
    assert ink(contact_sheet([red()], [caption], caption)) > 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_any_mode_can_be_shown(mode: str) -> None:
    assert opened(contact_sheet([Image.new(mode, (300, 200))], ["x"], "x")).width == 48 + 6 * 204


def test_what_is_transparent_is_white() -> None:
    clear = contact_sheet([Image.new("RGBA", (300, 300), (0, 0, 0, 0))], [""], "")
    assert ink(clear) == 0


def test_the_images_are_left_as_they_were() -> None:
    image = red(900, 300)
    contact_sheet([image], ["x"], "x")
    assert (image.size, image.mode) == ((900, 300), "RGB")


def test_captions_and_images_must_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([red()], [], "title")


def test_sheets_of_nothing() -> None:
    assert ink(contact_sheet([], [], "nothing")) > 0
    assert ink(neighbor_sheet([])) > 0


def sheet_of(*neighbors: tuple[str, str | None], label: str | None = "chair") -> bytes:
    """A query of item A among neighbours of these items and labels."""
    found = [Neighbor(Picture(red(), item, other), 0.5) for item, other in neighbors]
    return neighbor_sheet([Neighborhood(Picture(red(), "A", label), found)])


def test_every_image_is_on_the_neighbor_sheet() -> None:
    assert area(sheet_of(("A", "chair"), ("B", "chair"), ("C", "sofa")), RED) == 4 * 180 * 180


@pytest.mark.parametrize(
    ("item", "label", "own", "expected"),
    [
        ("A", "chair", "chair", GREEN),
        ("A", None, None, GREEN),
        ("B", "chair", "chair", BLUE),
        ("B", "sofa", "chair", GREY),
        ("B", None, None, GREY),
        ("B", "", "", GREY),
    ],
)
def test_a_frame_tells_the_relation(
    item: str, label: str | None, own: str | None, expected: tuple[int, int, int]
) -> None:
    with_frame, without = sheet_of((item, label), label=own), sheet_of(label=own)
    more = {color: area(with_frame, color) - area(without, color) for color in (GREEN, BLUE, GREY)}
    assert more[expected] > 2000
    assert all(more[color] == 0 for color in more if color != expected)


def test_rows_may_have_different_numbers_of_neighbors() -> None:
    query = Picture(red(), "A")
    rows = [Neighborhood(query, [Neighbor(query, 1.0)] * n) for n in (0, 5, 2)]
    assert area(neighbor_sheet(rows), RED) == (3 + 7) * 180 * 180


def test_the_label_of_the_query_is_written() -> None:
    assert sheet_of(label="chair") != sheet_of(label=None)


def test_the_score_is_written() -> None:
    query = Picture(red(), "A")
    low, high = (neighbor_sheet([Neighborhood(query, [Neighbor(query, score)])]) for score in (0.1, 0.9))
    assert low != high


def test_the_same_images_give_the_same_bytes() -> None:
    assert sheet_of(("B", None)) == sheet_of(("B", None))
    assert contact_sheet([red()], ["x"], "y") == contact_sheet([red()], ["x"], "y")
