"""The font of plots and sheets."""

from functools import cache
from pathlib import Path

import matplotlib as mpl
from matplotlib.ft2font import FT2Font

FONT_PATH = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""A scalable font that comes with Matplotlib, and its default."""


def printable(text: str) -> str:
    """The text on one line, with a box for every character that the font lacks."""
    return "".join(letter if ord(letter) in _letters() else "□" for letter in " ".join(text.split()))


@cache
def _letters() -> frozenset[int]:
    return frozenset(FT2Font(str(FONT_PATH)).get_charmap())
