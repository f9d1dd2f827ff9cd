import datetime
import decimal

import pyarrow as pa
import pytest

from vitrine.parsing import as_dates, as_numbers, as_text, is_readable


def column(values: list[object], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ([" a ", "", "\u00a0", None, "Ж"], None, ["a", None, None, None, "Ж"]),
        ([7, None, 12345678901234567], pa.int64(), ["7", None, "12345678901234567"]),
        ([7.0, None, 12345678901.0], pa.float64(), ["7", None, "12345678901"]),
        ([7.5, 7.0], pa.float64(), ["7.5", "7"]),
        ([True], None, ["true"]),
        ([decimal.Decimal("7.50")], None, ["7.50"]),
        ([datetime.date(2024, 5, 31)], None, ["2024-05-31"]),
        (["a"], pa.large_string(), ["a"]),
        ([None], pa.null(), [None]),
        ([], pa.string(), []),
    ],
)
def test_text(values: list[object], kind: pa.DataType | None, text: list[str | None]) -> None:
    result = as_text(column(values, kind))
    assert result.type == pa.string()
    assert result.to_pylist() == text


def test_text_of_a_dictionary() -> None:
    assert as_text(pa.chunked_array([pa.array([7, 8, 7]).dictionary_encode()])).to_pylist() == ["7", "8", "7"]


def test_numbers_in_text() -> None:
    good = {" 1 ": 1, "+1": 1, "-1.5": -1.5, ".5": 0.5, "5.": 5, "1e5": 1e5, "9" * 30: 1e30}
    result = as_numbers(column(list(good)))
    assert result.type == pa.float64()
    assert result.to_pylist() == list(good.values())


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1,5", "1_000", "0x1F", "nan", "inf", "-Infinity", "1e999", "true", "1 2", "١٢", "−5", "1e"],  # noqa: RUF001
)
def test_no_numbers_in_text(text: str) -> None:
    assert as_numbers(column([text, "1"])).to_pylist() == [None, 1]


@pytest.mark.parametrize(
    ("values", "kind", "numbers"),
    [
        ([7, None], pa.int32(), [7, None]),
        ([2**60 + 1], pa.int64(), [2.0**60]),
        ([1.5, float("nan"), float("inf"), None], pa.float32(), [1.5, None, None, None]),
        ([decimal.Decimal("7.50")], None, [7.5]),
        ([True], None, [None]),
        ([None], pa.null(), [None]),
        ([], pa.string(), []),
    ],
)
def test_numbers_of_other_types(values: list[object], kind: pa.DataType | None, numbers: list[float | None]) -> None:
    result = as_numbers(column(values, kind))
    assert result.type == pa.float64()
    assert result.to_pylist() == numbers


def test_dates_in_text() -> None:
    result = as_dates(column(["2024-02-29", " 0001-01-01 ", "9999-12-31", "2023-02-29", None, ""]))
    assert result.type == pa.date32()
    assert result.to_pylist() == [
        datetime.date(2024, 2, 29),
        datetime.date(1, 1, 1),
        datetime.date(9999, 12, 31),
        None,
        None,
        None,
    ]


def test_timestamps_in_text() -> None:
    texts = [
        "2024-05-31",
        "2024-05-31T10:00",
        "2024-05-31 10:00:30",
        "2024-05-31T10:00:30.5Z",
        "2024-05-31T10:00:30+02:00",
        "2024-05-31T10:00:30.123456789-0530",
        "9999-12-31T00:00",
    ]
    result = as_dates(column([*texts, None]))
    assert result.type == pa.timestamp("us", tz="UTC")
    assert [moment and moment.isoformat() for moment in result.to_pylist()] == [
        "2024-05-31T00:00:00+00:00",
        "2024-05-31T10:00:00+00:00",
        "2024-05-31T10:00:30+00:00",
        "2024-05-31T10:00:30.500000+00:00",
        "2024-05-31T08:00:30+00:00",
        "2024-05-31T15:30:30.123456+00:00",
        "9999-12-31T00:00:00+00:00",
        None,
    ]


@pytest.mark.parametrize(
    "text",
    [
        "today",
        "now",
        "NaT",
        "31/05/2024",
        "2024-13-01",
        "2024-05",
        "2024",
        "20240531",
        "1717113600",
        "2024-05-31T25:00",
    ],
)
def test_no_dates_in_text(text: str) -> None:
    assert as_dates(column([text, "2024-05-31"]))[0].as_py() is None


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (pa.date32(), pa.date32()),
        (pa.date64(), pa.date32()),
        (pa.timestamp("ns"), pa.timestamp("ns")),
        (pa.timestamp("s", tz="Europe/Paris"), pa.timestamp("s", tz="Europe/Paris")),
    ],
)
def test_dates_stay_dates(kind: pa.DataType, result: pa.DataType) -> None:
    dates = column([0, None], pa.int64() if pa.types.is_timestamp(kind) or kind == pa.date64() else pa.int32())
    parsed = as_dates(dates.cast(kind))
    assert parsed.type == result
    assert parsed.is_null().to_pylist() == [False, True]


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.struct([("a", pa.int8())]), pa.binary(), pa.duration("s")])
def test_unreadable_types(kind: pa.DataType) -> None:
    assert not is_readable(kind)
    assert not is_readable(pa.dictionary(pa.int32(), kind))


@pytest.mark.parametrize("kind", [pa.string(), pa.int8(), pa.float64(), pa.null(), pa.timestamp("us", "UTC")])
def test_readable_types(kind: pa.DataType) -> None:
    assert is_readable(kind)
    assert is_readable(pa.dictionary(pa.int32(), kind))
