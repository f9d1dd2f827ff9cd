"""Sheets of thumbnails as PNG bytes."""

import io
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from vitrine.fonts import FONT_PATH, printable

_SIDE = 180
"""Pixels of a thumbnail's longer side."""

_GAP = 12
"""Pixels between a cell's border and what is in it."""

_MARGIN = 24
_CELL = _SIDE + 2 * _GAP
_LINE = 20
_WHITE, _INK, _FAINT, _GRID = "#ffffff", "#333333", "#8a8a8a", "#e4e4e4"
_SAME_ITEM, _SAME_LABEL, _OTHER = "#2e9e5b", "#3b7dd8", "#bdbdbd"

Point = tuple[int, int]


@dataclass(frozen=True)
class Picture:
    """An image of a catalog, with its item and, if it has one, its label."""

    image: Image.Image
    item_id: str
    label: str | None = None


@dataclass(frozen=True)
class Neighbor:
    """An image that a search found, and its score."""

    picture: Picture
    score: float


@dataclass(frozen=True)
class Neighborhood:
    """A query and the images that it found, best first."""

    query: Picture
    neighbors: Sequence[Neighbor]


def contact_sheet(images: Sequence[Image.Image], captions: Sequence[str], title: str, columns: int = 6) -> bytes:
    """Thumbnails on a grid, each with its caption under it and the title on top, as a PNG.

    Raises:
        ValueError: there are not as many captions as images.
    """
    cells = list(zip(images, captions, strict=True))
    height = _CELL + _LINE
    top = _MARGIN + 2 * _LINE
    n_rows = -(-len(cells) // columns)
    sheet = _blank(2 * _MARGIN + columns * _CELL, top + n_rows * height + _MARGIN)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (_MARGIN, _MARGIN), title, size=20, width=columns * _CELL)
    for number, (image, caption) in enumerate(cells):
        x, y = _MARGIN + number % columns * _CELL, top + number // columns * height
        draw.rectangle((x, y, x + _CELL, y + height), outline=_GRID)
        _paste(sheet, image, (x + _GAP, y + _GAP))
        _write(draw, (x + _GAP, y + _GAP + _SIDE + 6), caption, size=12, width=_SIDE)
    return _png(sheet)


def neighbor_sheet(rows: Sequence[Neighborhood]) -> bytes:
    """One line per query, at the left, with the images it found, their scores and items, as a PNG.

    A frame tells how a neighbour is related to the query: green, the same item; blue, another item with the same
    label; grey, neither.
    """
    columns = 1 + max((len(row.neighbors) for row in rows), default=0)
    height = _CELL + 2 * _LINE
    top = _MARGIN + 2 * _LINE
    sheet = _blank(2 * _MARGIN + _GAP + max(columns, 3) * _CELL, top + len(rows) * height + _MARGIN)
    draw = ImageDraw.Draw(sheet)
    _legend(draw, (_MARGIN + _GAP, _MARGIN))
    for number, row in enumerate(rows):
        y = top + number * height
        draw.line((_MARGIN, y, sheet.width - _MARGIN, y), fill=_GRID)
        _cell(sheet, (_MARGIN, y), row.query, row.query.label or "", frame=None)
        for column, neighbor in enumerate(row.neighbors, start=1):
            corner = _MARGIN + _GAP + column * _CELL, y
            _cell(sheet, corner, neighbor.picture, f"{neighbor.score:.3f}", _frame(row.query, neighbor.picture))
    return _png(sheet)


def _cell(sheet: Image.Image, corner: Point, picture: Picture, note: str, frame: str | None) -> None:
    x, y = corner[0] + _GAP, corner[1] + _GAP
    draw = ImageDraw.Draw(sheet)
    _paste(sheet, picture.image, (x, y))
    if frame:
        draw.rectangle((x - 6, y - 6, x + _SIDE + 5, y + _SIDE + 5), outline=frame, width=4)
    _write(draw, (x, y + _SIDE + 10), picture.item_id, size=13, width=_SIDE)
    _write(draw, (x, y + _SIDE + 10 + _LINE), note, size=12, width=_SIDE, color=_FAINT)


def _frame(query: Picture, neighbor: Picture) -> str:
    if neighbor.item_id == query.item_id:
        return _SAME_ITEM
    return _SAME_LABEL if query.label and neighbor.label == query.label else _OTHER


def _legend(draw: ImageDraw.ImageDraw, corner: Point) -> None:
    x, y = corner
    for color, meaning in ((_SAME_ITEM, "same item"), (_SAME_LABEL, "same label"), (_OTHER, "other")):
        draw.rectangle((x, y + 1, x + 14, y + 15), outline=color, width=4)
        _write(draw, (x + 22, y), meaning, size=13, width=_SIDE)
        x += 130


def _blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), _WHITE)


def _paste(sheet: Image.Image, image: Image.Image, corner: Point) -> None:
    """Paste the image's thumbnail into the middle of a square, on white where it is transparent."""
    thumbnail = image.convert("RGBA")
    thumbnail.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    x, y = corner[0] + (_SIDE - thumbnail.width) // 2, corner[1] + (_SIDE - thumbnail.height) // 2
    sheet.paste(thumbnail, (x, y), thumbnail)


def _write(draw: ImageDraw.ImageDraw, corner: Point, text: str, size: int, width: float, color: str = _INK) -> None:
    """Write one line of text, cut with an ellipsis where it is wider than `width` pixels."""
    font = _font(size)
    line = printable(text)
    if font.getlength(line) > width:
        fitting = bisect_left(range(len(line)), width, key=lambda end: font.getlength(line[: end + 1] + "…"))
        line = line[:fitting].rstrip() + "…"
    draw.text(corner, line, fill=color, font=font)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT_PATH, size)


def _png(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()
