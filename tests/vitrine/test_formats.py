import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrine.formats import (
    PARSERS,
    FormatError,
    parse_csv,
    parse_gzipped_csv,
    parse_json_lines,
    parse_parquet,
)


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def test_csv_columns_are_strings_and_only_the_empty_one_is_null() -> None:
    table = parse_csv(b'id,n,d\n007,1.50,2024-05-31\nNA,null,""\n"",nan,-\n')
    assert table.schema.types == [pa.string()] * 3
    assert table.to_pylist() == [
        {"id": "007", "n": "1.50", "d": "2024-05-31"},
        {"id": "NA", "n": "null", "d": None},
        {"id": None, "n": "nan", "d": "-"},
    ]


def test_csv_with_a_byte_order_mark_windows_lines_and_empty_lines() -> None:
    assert parse_csv("\ufeffid,b\r\n\r\né,1\r\n\r\n".encode()).to_pylist() == [{"id": "é", "b": "1"}]


def test_csv_field_with_commas_quotes_and_lines() -> None:
    assert parse_csv(b'a,b\n"x, ""y""\nz",1\n').to_pylist() == [{"a": 'x, "y"\nz', "b": "1"}]


def test_csv_field_of_megabytes() -> None:
    long = "x" * 3_000_000
    assert parse_csv(f"a,b\n{long},1\n".encode())["a"].to_pylist() == [long]


def test_csv_without_rows() -> None:
    assert parse_csv(b"a,b\n").shape == (0, 2)


def test_gzipped_csv() -> None:
    assert parse_gzipped_csv(gzip.compress(b"a\n1\n")).to_pylist() == [{"a": "1"}]


def test_json_lines_have_the_types_of_their_values() -> None:
    table = parse_json_lines('{"a": 7, "b": "é", "c": [1]}\n\n{"b": null, "a": 8}\n'.encode())
    assert table.to_pylist() == [{"a": 7, "b": "é", "c": [1]}, {"a": 8, "b": None, "c": None}]


def test_json_text_that_looks_like_a_date_stays_text() -> None:
    table = parse_json_lines(b'{"id": "2024-05-31", "n": 1}\n{"id": "2024-05-31 10:00", "n": 2}\n')
    assert table.to_pylist() == [{"id": "2024-05-31", "n": 1}, {"id": "2024-05-31 10:00", "n": 2}]


def test_parquet_stays_as_it_is() -> None:
    table = pa.table({"a": pa.array([1, None], pa.int16()), "b": [[1], []]})
    assert parse_parquet(parquet(table)).equals(table)


RAGGED = (
    "line {} has {} fields where the header has 2. "
    "Mend the line; a field that holds a comma or a line break goes in double quotes"
)


@pytest.mark.parametrize(
    ("ending", "data", "message"),
    [
        (".csv", b"a,b\n1,2\n3\n", RAGGED.format(3, 1)),
        (".csv", b'a,b\n"1\n1\n1",2\n\n3,4,5\n', RAGGED.format(6, 3)),
        (".csv", b'a,b\n1,2\n"3,4\n5,6\n', RAGGED.format(3, 1)),
        (".csv", b"a,b\n1,2\n3,\xe9\n", "line 3 is not UTF-8. Save the file as CSV UTF-8"),
        (".csv", b"\xe9,b\n1,2\n", "line 1 is not UTF-8. Save the file as CSV UTF-8"),
        (".csv", "a,b\n1,2\n".encode("utf-16"), "line 1 is not UTF-8. Save the file as CSV UTF-8"),
        (".csv", b"a,b,a\n1,2,3\n", "2 columns are named 'a'. Rename all but one"),
        (".csv.gz", b"a,b\n1,2\n", "is not gzip, or a damaged one: Not a gzipped file"),
        (".csv.gz", gzip.compress(b"a\n1\n")[:-9], "is not gzip, or a damaged one: "),
        (".jsonl", b'{"a": 1}\n\n{"a": }\n', "line 3 is not JSON: Expecting value at column 7"),
        (".jsonl", b'[{"a": 1}]\n', "line 1 is not a JSON object. Write one object per line"),
        (".jsonl", b'{"a": 1}\n2\n', "line 2 is not a JSON object. Write one object per line"),
        (".jsonl", b'{"a": 1}\n{"a": 1, "a": 2}\n', "line 2 names a column twice. Rename one of the two"),
        (".jsonl", b'{"a": "1"}\n{"a": "\xff"}\n', "line 2 is not UTF-8. Save the file as UTF-8"),
        (".jsonl", b'{"a": 1}\n{"a": "x"}\n', "Give all values of a column the same type"),
        (".parquet", b"a,b\n1,2\n", "is not a Parquet file, or a damaged one: "),
        (".parquet", parquet(pa.table({"a": [1]}))[:-20], "is not a Parquet file, or a damaged one: "),
        (
            ".pq",
            parquet(pa.Table.from_arrays([pa.array([1])] * 2, names=["a", "a"])),
            "2 columns are named 'a'. Rename all but one",
        ),
    ],
)
def test_faults(ending: str, data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as raised:
        PARSERS[ending](data)
    assert message in str(raised.value)


@pytest.mark.parametrize("ending", sorted(set(PARSERS) - {".csv.gz"}))
@pytest.mark.parametrize("data", [b"", b" \n\n"])
def test_empty_files(ending: str, data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^is empty"):
        PARSERS[ending](data)
