"""The ledger: rows in = ok + failed + quarantined, each once."""

import pyarrow as pa
import pytest

from vitrine import schemas
from vitrine.features import Held
from vitrine.ledger import account, n_retryable, ok_rows, values_at


def manifest(rows, **columns):
    numbers, items, images = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.Table.from_arrays(
        [pa.array(numbers, pa.int64()), pa.array(items, pa.string()), pa.array(images, pa.string())],
        schema=schemas.MANIFEST,
    )
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


def quarantine(rows):
    columns = zip(*rows, strict=True) if rows else [[]] * 5
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schemas.QUARANTINE, strict=True)],
        schema=schemas.QUARANTINE,
    )


def downloads(rows):
    names = ["image", "sha256", "status", "reason", "detail"]
    return pa.table({name: pa.array([row[place] for row in rows], pa.string()) for place, name in enumerate(names)})


MANIFEST = [(1, "a", "a.jpg"), (3, "b", "b.jpg"), (4, "b", "same.jpg"), (6, "c", "a.jpg"), (7, "c", "cut.jpg")]
QUARANTINE = [(5, None, "x.jpg", "null_item_id", None), (2, "d", "ftp://x", "scheme_not_allowed", "ftp://x")]
DOWNLOADS = [
    ("cut.jpg", "5c", "ok", None, None),
    ("a.jpg", "5a", "ok", None, None),
    ("b.jpg", None, "failed", "http_error", "status 500"),
    ("same.jpg", "5a", "ok", None, None),
    ("of an earlier catalog.jpg", "5e", "ok", None, None),
]
HELD = {
    "5a": Held("features/e-0/one.parquet", None, None),
    "5c": Held("features/e-0/two.parquet", "load_failed", "truncated"),
    "5e": Held("features/e-0/one.parquet", None, None),
}
LEDGER = [
    (1, "a", "a.jpg", "5a", "ok", None, None, "features/e-0/one.parquet"),
    (2, "d", "ftp://x", None, "quarantined", "scheme_not_allowed", "ftp://x", None),
    (3, "b", "b.jpg", None, "failed", "http_error", "status 500", None),
    (4, "b", "same.jpg", "5a", "ok", None, None, "features/e-0/one.parquet"),
    (5, None, "x.jpg", None, "quarantined", "null_item_id", None, None),
    (6, "c", "a.jpg", "5a", "ok", None, None, "features/e-0/one.parquet"),
    (7, "c", "cut.jpg", "5c", "failed", "load_failed", "truncated", None),
]


def made():
    return account(manifest(MANIFEST), quarantine(QUARANTINE), downloads(DOWNLOADS), HELD)


def as_rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


def test_every_row_has_its_one_outcome_in_catalog_order():
    ledger = made()
    assert ledger.schema.equals(schemas.LEDGER)
    assert as_rows(ledger) == LEDGER
    assert ledger.num_rows == len(MANIFEST) + len(QUARANTINE)


def test_without_a_quarantine_and_without_anything_else():
    alone = account(manifest(MANIFEST), quarantine([]), downloads(DOWNLOADS), HELD)
    assert as_rows(alone) == [row for row in LEDGER if row[4] != "quarantined"]
    alone = account(manifest([]), quarantine(QUARANTINE), downloads([]), {})
    assert as_rows(alone) == [row for row in LEDGER if row[4] == "quarantined"]


def test_an_image_without_an_outcome_is_a_defect():
    with pytest.raises(KeyError, match=r"cut\.jpg"):
        account(manifest(MANIFEST), quarantine(QUARANTINE), downloads(DOWNLOADS[1:]), HELD)
    with pytest.raises(KeyError, match="5c"):
        account(manifest(MANIFEST), quarantine(QUARANTINE), downloads(DOWNLOADS), {"5a": HELD["5a"]})


def test_ok_rows():
    rows = ok_rows(made())
    assert rows["catalog_row"].to_pylist() == [1, 4, 6]
    assert rows.schema.equals(schemas.LEDGER)
    assert ok_rows(account(manifest([]), quarantine(QUARANTINE), downloads([]), {})).num_rows == 0


def test_values_at():
    table = manifest(MANIFEST, product_type=["sofa", "bed", None, "lamp", "desk"], price=[1.5, 2, 3, None, 5])
    rows = ok_rows(made())["catalog_row"]
    assert values_at(table, "product_type", rows) == ["sofa", None, "lamp"]
    assert values_at(table, "price", rows) == [1.5, 3, None]
    assert values_at(table, "product_type", pa.chunked_array([[7, 1], [7]])) == ["desk", "sofa", "desk"]
    assert values_at(table, None, rows) == [None, None, None]


def test_values_at_of_a_manifest_in_pieces():
    table = manifest(MANIFEST, product_type=["sofa", "bed", None, "lamp", "desk"])
    pieces = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert values_at(pieces, "product_type", pa.chunked_array([[6, 3]])) == ["lamp", "bed"]


def test_only_failures_of_the_extraction_are_worth_another():
    held = HELD | {"5c": Held("features/e-0/two.parquet", "extraction_error", "out of memory")}
    assert n_retryable(account(manifest(MANIFEST), quarantine(QUARANTINE), downloads(DOWNLOADS), HELD)) == 0
    assert n_retryable(account(manifest(MANIFEST), quarantine(QUARANTINE), downloads(DOWNLOADS), held)) == 1
