"""Reading a manifest, from a path or any fsspec URL, and the names that follow from where it lies."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import fsspec
import numpy as np
import pyarrow as pa

from vitrine.config import CatalogConfig
from vitrine.errors import CatalogError
from vitrine.formats import PARSERS, FormatError
from vitrine.parsing import as_text, is_readable
from vitrine.schemas import MANIFEST, ROW

_GENERIC_NAMES = {"catalog", "manifest", "index", "items", "data"}
_LONGEST_NAME = 40

_LIKELY_NAMES = {
    "item_id": ("id", "item", "sku", "product_id", "product", "asin"),
    "image": ("url", "image_url", "image_path", "path", "file", "filename", "photo", "picture"),
}


def read_manifest(config: CatalogConfig) -> pa.Table:
    """Read a catalog's manifest.

    Returns:
        The catalog's n rows, n > 0. The columns are `catalog_row` (int64, from 1), `item_id` and `image` (strings
        without blanks around them, null where empty), then the catalog's other columns as they came: from a CSV
        file all strings, null where empty.

    Raises:
        CatalogError: the manifest cannot be read, has no rows, or lacks a column that `config` names.
    """
    try:
        with _opened(config.path) as file:
            parse = _parser(config.path)
            data = file.read()
        return _mapped(parse(data), config)
    except FormatError as error:
        raise CatalogError(f"{config.path}: {_one_line(error)}") from error


def catalog_digest(config: CatalogConfig) -> str:
    """SHA-256 of the manifest file's bytes, hexadecimal.

    Raises:
        CatalogError: the file cannot be read.
    """
    with _opened(config.path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def catalog_base(path: str) -> str:
    """The folder that a manifest's images are relative to: an absolute path, or a URL."""
    path = _without_query(path).removeprefix("file://")
    if "://" in path:
        return path.rpartition("/")[0]
    return str(Path(path).expanduser().absolute().parent)


def catalog_name(path: str) -> str:
    """A short name for a catalog, fit for a file's: the manifest's, or its folder's where that says too little."""
    name = PurePosixPath(_without_query(path)).name
    stem = name[: -len(_suffix(name))] if _suffix(name) else name
    if stem.casefold() in _GENERIC_NAMES:
        stem = PurePosixPath(catalog_base(path)).name
    return re.sub(r"[^\w.-]+", "-", stem)[:_LONGEST_NAME].strip(".-_") or "catalog"


@contextmanager
def _opened(path: str) -> Iterator[io.BufferedReader]:
    try:
        with fsspec.open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise CatalogError(f"{path}: there is no such file. Check the manifest's path") from error
    except IsADirectoryError as error:
        raise CatalogError(f"{path}: is a folder. Give the manifest in it, one of {', '.join(PARSERS)}") from error
    except (ImportError, OSError, ValueError) as error:
        cause = _one_line(getattr(error, "strerror", None) or error)
        raise CatalogError(f"{path}: cannot be read: {cause}. Check the path and your right to read it") from error


def _parser(path: str) -> Callable[[bytes], pa.Table]:
    suffix = _suffix(_without_query(path))
    if not suffix:
        raise FormatError(f"has an ending that Vitrine does not know. Give one of {', '.join(PARSERS)}")
    return PARSERS[suffix]


def _suffix(name: str) -> str:
    return next((suffix for suffix in PARSERS if name.lower().endswith(suffix)), "")


def _without_query(path: str) -> str:
    if path.startswith(("http://", "https://")):
        return re.split(r"[?#]", path, maxsplit=1)[0]
    return path


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _mapped(table: pa.Table, config: CatalogConfig) -> pa.Table:
    if ROW.name in table.column_names:
        raise FormatError(f"column '{ROW.name}' has the name of Vitrine's own row number. Rename it")
    _refuse_unusable(table, config)
    if not table.num_rows:
        raise FormatError("has no rows. Give a manifest with a row per image")
    mapped = {config.item_column, config.image_column, *MANIFEST.names}
    own = [field for field in table.schema if field.name not in mapped]
    return pa.Table.from_arrays(
        [
            pa.array(np.arange(1, table.num_rows + 1)),
            as_text(table[config.item_column]),
            as_text(table[config.image_column]),
            *(table[field.name] for field in own),
        ],
        schema=pa.schema([ROW, ("item_id", pa.string()), ("image", pa.string()), *own]),
    )


def _refuse_unusable(table: pa.Table, config: CatalogConfig) -> None:
    """Refuse columns that `config` names and that are missing, serve twice, or hold no text, numbers or dates."""
    taken = {"item_id", "image", config.item_column, config.image_column}
    for role, column in _roles(config):
        if column not in table.column_names:
            found = ", ".join(table.column_names)
            raise FormatError(f"column '{column}' is missing (found: {found}). {_way_out(role, table.column_names)}")
        kind = table.schema.field(column).type
        if not is_readable(kind):
            raise FormatError(f"column '{column}' holds {kind}. Write it as text, numbers or dates")
        if role not in _LIKELY_NAMES and column in taken:
            raise FormatError(f"column '{column}' is used twice. {_way_out(role, table.column_names)}")
        taken.add(column)


def _roles(config: CatalogConfig) -> Iterator[tuple[str, str]]:
    """What the configuration needs columns for, each with the column's name in the catalog."""
    yield "item_id", config.item_column
    yield "image", config.image_column
    if config.label is not None:
        yield "label", config.label
    if config.date is not None:
        yield "date", config.date
    for target in config.targets:
        yield "target", target.column


def _way_out(role: str, found: list[str]) -> str:
    match role:
        case "label" | "target":
            return f"Name another with --{role}"
        case "date":
            return "Map it with --column date=NAME"
        case _:
            likely = next((name for name in _LIKELY_NAMES[role] if name in found), "NAME")
            return f"Map it with --column {role}={likely}"
