"""The file formats of a manifest: bytes in, an Arrow table out, or what is wrong with them and the way out."""

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

_BLOCK_BYTES = 16 << 20
"""How much of a file is parsed at once; no row may be longer."""


class FormatError(Exception):
    """What is wrong with a file and the way out, but not yet the file's name."""


def parse_csv(data: bytes) -> pa.Table:
    """Parse CSV in UTF-8 with a header, comma-separated: n rows, every column of strings, null where empty.

    Raises:
        FormatError: it is something else, or a line has too few or too many fields.
    """
    _refuse_empty(data)
    try:
        _, names = next(_records(data))
        refuse_repeats(names)
        return pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except (UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
        raise FormatError(_csv_fault(data) or f"is not CSV: {error}. Mend the file") from error


def parse_gzipped_csv(data: bytes) -> pa.Table:
    """Parse CSV within gzip; see `parse_csv`."""
    try:
        return parse_csv(gzip.decompress(data))
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"is not gzip, or a damaged one: {error}. Compress it anew") from error


def parse_json_lines(data: bytes) -> pa.Table:
    """Parse JSON lines: n rows, one of each object; a column's type is that of its values.

    Raises:
        FormatError: it is something else, or a column holds values of several types.
    """
    _refuse_empty(data)
    try:
        table = _read_json(data, pa.schema([]))
        # JSON has no dates: text that looks like one stays the text that it is.
        dates = [field.with_type(pa.string()) for field in table.schema if pa.types.is_timestamp(field.type)]
        if dates:
            table = _read_json(data, pa.schema(dates))
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise FormatError(_json_fault(data) or f"{error}. Give all values of a column the same type") from error
    return table


def parse_parquet(data: bytes) -> pa.Table:
    """Parse Parquet: n rows, the columns as they are.

    Raises:
        FormatError: it is something else, or damaged.
    """
    _refuse_empty(data)
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"is not a Parquet file, or a damaged one: {error}. Write it anew") from error
    refuse_repeats(table.column_names)
    return table


PARSERS: dict[str, Callable[[bytes], pa.Table]] = {
    ".csv": parse_csv,
    ".csv.gz": parse_gzipped_csv,
    ".parquet": parse_parquet,
    ".pq": parse_parquet,
    ".jsonl": parse_json_lines,
    ".ndjson": parse_json_lines,
}
"""The parser for each ending of a manifest's name."""


def refuse_repeats(names: Sequence[str]) -> None:
    """Refuse two columns of the same name.

    Raises:
        FormatError: a name stands twice.
    """
    for name, count in Counter(names).items():
        if count > 1:
            raise FormatError(f"{count} columns are named '{name}'. Rename all but one")


def _refuse_empty(data: bytes) -> None:
    if not data or data.isspace():
        raise FormatError("is empty. Give a manifest with a row per image")


def _records(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file that are not empty, each with the number of the line that it starts on."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""))
    start = 1
    for record in reader:
        if record:
            yield start, record
        start = reader.line_num + 1


def _csv_fault(data: bytes) -> str | None:
    if (line := _undecodable_line(data)) is not None:
        return f"line {line} is not UTF-8. Save the file as CSV UTF-8"
    records = _records(data)
    _, names = next(records)
    for line, record in records:
        if len(record) != len(names):
            return (
                f"line {line} has {len(record)} fields where the header has {len(names)}. "
                "Mend the line; a field that holds a comma or a line break goes in double quotes"
            )
    return None


def _read_json(data: bytes, schema: pa.Schema) -> pa.Table:
    return pa.json.read_json(
        pa.BufferReader(data),
        read_options=pa.json.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pa.json.ParseOptions(explicit_schema=schema),
    )


def _json_fault(data: bytes) -> str | None:
    if (line := _undecodable_line(data)) is not None:
        return f"line {line} is not UTF-8. Save the file as UTF-8"
    for line, text in enumerate(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig"), start=1):
        if text.strip() and (fault := _json_line_fault(text)):
            return f"line {line} {fault}"
    return None


def _json_line_fault(text: str) -> str | None:
    try:
        pairs = json.loads(text, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        return f"is not JSON: {error.msg} at column {error.colno}. Write one object per line"
    if not isinstance(pairs, tuple):
        return "is not a JSON object. Write one object per line"
    if len(dict(pairs)) < len(pairs):
        return "names a column twice. Rename one of the two"
    return None


def _undecodable_line(data: bytes) -> int | None:
    for number, line in enumerate(io.BytesIO(data), start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return None
