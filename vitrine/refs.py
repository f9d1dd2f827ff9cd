"""Refs: what a step returns instead of the data."""

from collections.abc import Iterator

from vitrine.config import Frozen


class Ref(Frozen):
    """A file of the store that is known by its content."""

    path: str
    """Relative to the store's root."""
    digest: str
    """SHA-256 of the bytes, hexadecimal."""
    rows: int
    """Rows of a table; 1 for anything else."""


def refs_in(value: object) -> Iterator[Ref]:
    """Every ref that a step's result holds, however deep."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Frozen):
        for name in type(value).model_fields:
            yield from refs_in(getattr(value, name))
    elif isinstance(value, dict | tuple | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from refs_in(part)
