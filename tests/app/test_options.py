"""From words to configuration."""

import pytest
from typer import BadParameter

from app.options import parse_columns, parse_components, parse_target
from vitrine.config import Target


@pytest.mark.parametrize(("text", "value"), [("256", 256), ("1", 1), ("0.95", 0.95), (".5", 0.5)])
def test_components(text: str, value: float) -> None:
    assert parse_components(text) == value
    assert type(parse_components(text)) is type(value)


@pytest.mark.parametrize("text", ["0", "-3", "1.0", "1.5", "many", "", "0.0"])
def test_components_that_are_none(text: str) -> None:
    with pytest.raises(BadParameter, match="neither a number of components"):
        parse_components(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("price", Target(column="price")),
        ("price:1:500.5", Target(column="price", minimum=1, maximum=500.5)),
        ("price::9", Target(column="price", maximum=9)),
        ("price:0:", Target(column="price", minimum=0)),
        ("size:cm", Target(column="size:cm")),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["", "price:a:b", "price:9:1"])
def test_targets_that_are_none(text: str) -> None:
    with pytest.raises(BadParameter):
        parse_target(text)


def test_columns() -> None:
    fields = parse_columns(["item_id=sku", "image=url", "date=day=1"])
    assert fields == {"item_column": "sku", "image_column": "url", "date": "day=1"}


@pytest.mark.parametrize("text", ["image", "image=", "picture=url", "label=kind", "=url"])
def test_columns_that_are_none(text: str) -> None:
    with pytest.raises(BadParameter, match="ROLE=COLUMN"):
        parse_columns([text])
