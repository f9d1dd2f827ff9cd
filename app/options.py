"""From the words of the command line to a run's configuration."""

import re

from typer import BadParameter

from vitrine.config import Target

ROLES = {"item_id": "item_column", "image": "image_column", "date": "date"}


def parse_components(text: str) -> int | float:
    """`256` is a number of components, `0.95` a share of variance."""
    if re.fullmatch(r"\d+", text) and int(text) > 0:
        return int(text)
    if re.fullmatch(r"0?\.\d+", text) and float(text) > 0:
        return float(text)
    raise BadParameter(f"'{text}' is neither a number of components (256) nor a share of variance (0.95)")


def parse_target(text: str) -> Target:
    """`price`, or `price:1:5000` with the range its values must lie in; either end may be left open."""
    match = re.fullmatch(r"(?P<column>.+?)(:(?P<minimum>[^:]*):(?P<maximum>[^:]*))?", text)
    if not match:
        raise BadParameter("a target needs the name of its column. Example: --target price")
    minimum, maximum = (_bound(text, match[end]) for end in ("minimum", "maximum"))
    if minimum is not None and maximum is not None and minimum > maximum:
        raise BadParameter(f"'{text}': its minimum lies above its maximum")
    return Target(column=match["column"], minimum=minimum, maximum=maximum)


def parse_columns(texts: list[str]) -> dict[str, str]:
    """`image=url` says that the column `url` holds what Vitrine calls the image; by field of CatalogConfig."""
    fields = {}
    for text in texts:
        role, equals, column = text.partition("=")
        if role not in ROLES or not equals or not column:
            raise BadParameter(
                f"'{text}' is not ROLE=COLUMN with a role of {', '.join(ROLES)}. Example: --column image=url"
            )
        fields[ROLES[role]] = column
    return fields


def _bound(text: str, value: str | None) -> float | None:
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        raise BadParameter(f"'{text}': '{value}' is not a number. Example: --target price:1:5000") from None
