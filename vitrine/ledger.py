"""A run's ledger: rows in = ok + failed + quarantined, row by row."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vitrine import schemas
from vitrine.features import Held, is_final

OK, FAILED, QUARANTINED = "ok", "failed", "quarantined"


class _Outcome(NamedTuple):
    """A row of `schemas.LEDGER`."""

    catalog_row: int
    item_id: str | None
    image: str | None
    sha256: str | None
    status: str
    reason: str | None
    detail: str | None
    feature_file: str | None


def account(manifest: pa.Table, quarantine: pa.Table, downloads: pa.Table, held: Mapping[str, Held]) -> pa.Table:
    """Join what every step said of the catalog's rows into one table of `schemas.LEDGER`, in catalog order.

    Raises:
        KeyError: an image has no outcome, of the download or of the extraction.
    """
    outcomes = sorted([*_quarantined(quarantine), *_fetched(manifest, downloads, held)])
    columns = zip(*outcomes, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schemas.LEDGER, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schemas.LEDGER)


def _quarantined(quarantine: pa.Table) -> Iterator[_Outcome]:
    for row in quarantine.to_pylist():
        yield _Outcome(
            row["catalog_row"], row["item_id"], row["image"], None, QUARANTINED, row["reason"], row["value"], None
        )


def _fetched(manifest: pa.Table, downloads: pa.Table, held: Mapping[str, Held]) -> Iterator[_Outcome]:
    download_of = {row["image"]: row for row in downloads.to_pylist()}
    for number, item_id, image in zip(*(manifest[name].to_pylist() for name in schemas.MANIFEST.names), strict=True):
        download = download_of[image]
        if download["status"] == FAILED:
            yield _Outcome(number, item_id, image, None, FAILED, download["reason"], download["detail"], None)
            continue
        sha256 = download["sha256"]
        file, reason, detail = held[sha256]
        if reason:
            yield _Outcome(number, item_id, image, sha256, FAILED, reason, detail, None)
        else:
            yield _Outcome(number, item_id, image, sha256, OK, None, None, file)


def ok_rows(ledger: pa.Table) -> pa.Table:
    """The rows that have a feature, in catalog order."""
    return ledger.filter(pc.equal(ledger["status"], OK))


def values_at(manifest: pa.Table, column: str | None, catalog_rows: pa.ChunkedArray) -> list[Any]:
    """A column's values for some rows of the catalog; None for all where no column is named."""
    if column is None:
        return [None] * len(catalog_rows)
    places = pc.index_in(catalog_rows, value_set=manifest["catalog_row"].combine_chunks())
    values: list[Any] = manifest[column].take(places).to_pylist()
    return values


def n_retryable(ledger: pa.Table) -> int:
    """Rows whose image is in the store, but whose extraction failed in a way that another try may mend."""
    extracted = ledger.filter(pc.is_valid(ledger["sha256"]))
    return sum(not is_final(reason) for reason in extracted["reason"].to_pylist())
