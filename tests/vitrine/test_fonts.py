import pytest
from PIL import ImageFont

from vitrine.fonts import FONT_PATH, printable


def test_the_font_is_there_and_scales() -> None:
    assert ImageFont.truetype(FONT_PATH, 40).getlength("x") > ImageFont.truetype(FONT_PATH, 10).getlength("x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Chaise longue, 12 €", "Chaise longue, 12 €"),
        ("стул ελιά", "стул ελιά"),
        ("椅子", "□□"),
        ("two\nlines\tand  gaps ", "two lines and gaps"),
        ("bell\x07", "bell□"),
        ("", ""),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected
