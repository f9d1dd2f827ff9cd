"""A catalog's columns as text, numbers and dates. What cannot be read is null; a row never raises."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_BELOW_MICROSECONDS = r"(\.\d{6})\d+"
_DATE_LENGTH = len("2024-05-31")

_SCALARS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_null,
)


def is_readable(kind: pa.DataType) -> bool:
    """Whether columns of this Arrow type hold text, numbers or dates: no lists, no structs, no bytes."""
    if pa.types.is_dictionary(kind):
        return is_readable(kind.value_type)
    return any(test(kind) for test in _SCALARS)


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A readable column, n values of any kind, as n strings without blanks around them; an empty one is null."""
    text = pc.utf8_trim_whitespace(_whole_numbers(column).cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), None, text)


def as_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A readable column, n values of any kind, as n float64: null where empty, and where no finite number stands."""
    if _is_numeric(column.type):
        numbers = column.cast(pa.float64(), safe=False)
    else:
        parsed = pd.to_numeric(as_text(column).to_pandas(), errors="coerce").astype("float64")
        numbers = pa.chunked_array([pa.array(parsed.to_numpy(), from_pandas=True)], pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def as_dates(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A readable column, n values of any kind, as n dates: null where no ISO date or timestamp stands.

    Dates and timestamps stay what they are. Text becomes date32, or where any value has a time of day, timestamps in
    microseconds UTC; a time without a zone is taken as UTC.
    """
    if pa.types.is_date(column.type):
        return column.cast(pa.date32())
    if pa.types.is_timestamp(column.type):
        return column
    text = as_text(column)
    # pandas reads more than ISO here, the words "today" and "now" among it, and turns to nanoseconds, which end in
    # the year 2262, as soon as one value has them.
    text = pc.if_else(pc.match_substring_regex(text, _ISO), text, None)
    text = pc.replace_substring_regex(text, _BELOW_MICROSECONDS, r"\1")
    moments = pd.to_datetime(text.to_pandas(), format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    dates = pa.chunked_array([pa.array(moments.to_numpy(), from_pandas=True)]).cast(pa.timestamp("us", tz="UTC"))
    has_time = pc.any(pc.greater(pc.utf8_length(text), _DATE_LENGTH)).as_py()
    return dates if has_time else dates.cast(pa.date32())


def _is_numeric(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of integers that a missing value has turned into floats, as integers again: the text is 7, not 7.0."""
    if not pa.types.is_floating(column.type):
        return column
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
