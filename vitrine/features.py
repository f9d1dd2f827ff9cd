"""Feature files: what the store holds under an encoder's fingerprint, and vectors by item."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from vitrine import schemas
from vitrine.config import Aggregation
from vitrine.reasons import Reason
from vitrine.store import Store

Vectors = NDArray[np.float32]


class Held(NamedTuple):
    """What the store holds for one image under one fingerprint: a feature, or the reason why there is none."""

    file: str
    reason: str | None
    detail: str | None


def feature_folder(encoder_name: str, fingerprint: str) -> str:
    """Where the store keeps an encoder's features."""
    safe = "".join(character if character.isalnum() or character in "._-" else "-" for character in encoder_name)
    return f"features/{safe}-{fingerprint[:12]}"


def feature_table(
    dim: int,
    sha256s: Sequence[str],
    vectors: Sequence[Vectors | None],
    reasons: Sequence[Reason | None],
    details: Sequence[str | None],
) -> pa.Table:
    """A table of `schemas.features(dim)`: a vector of shape (dim,) or a reason for every image."""
    none = np.full(dim, np.nan, np.float32)
    columns = [
        pa.array(sha256s, pa.string()),
        vector_column(np.stack([none if vector is None else vector for vector in vectors])),
        pa.array(["failed" if vector is None else "ok" for vector in vectors], pa.string()),
        pa.array(reasons, pa.string()),
        pa.array(details, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schemas.features(dim))


def held_features(store: Store, folder: str) -> dict[str, Held]:
    """What the store holds under an encoder, by the image's digest. A feature wins over a failure."""
    failures: dict[str, Held] = {}
    features: dict[str, Held] = {}
    for file in store.names(folder, suffix=".parquet"):
        for sha256, reason, detail in _rows(store.read_table(file, columns=["sha256", "reason", "detail"])):
            (failures if reason else features)[sha256] = Held(file, reason, detail)
    return failures | features


def is_final(reason: str | None) -> bool:
    """Whether extracting an image again could change nothing, after it got a feature or failed for this reason."""
    return reason in (None, Reason.LOAD_FAILED)


def _rows(table: pa.Table) -> Iterator[tuple[str, str | None, str | None]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def read_features(store: Store, files: Sequence[str], sha256s: Sequence[str], dim: int) -> Vectors:
    """The features of images that have one, in the order asked for: (n, dim). `files[i]` holds `sha256s[i]`."""
    places: dict[str, list[int]] = {}
    for place, file in enumerate(files):
        places.setdefault(file, []).append(place)
    features = np.empty((len(sha256s), dim), np.float32)
    for file, wanted in places.items():
        table = store.read_table(file, columns=["sha256", "feature"])
        row_of = {sha256: row for row, sha256 in enumerate(table["sha256"].to_pylist())}
        features[wanted] = vectors_of(table["feature"])[[row_of[sha256s[place]] for place in wanted]]
    return features


def vectors_of(column: pa.ChunkedArray) -> Vectors:
    """A column of fixed-size lists as an array of shape (n, dim)."""
    array = column.combine_chunks()
    vectors: Vectors = array.flatten().to_numpy().reshape(len(array), array.type.list_size)
    return vectors


def vector_column(vectors: Vectors) -> pa.FixedSizeListArray:
    """An array of shape (n, dim) as a column of fixed-size lists."""
    return pa.FixedSizeListArray.from_arrays(
        np.ascontiguousarray(vectors).ravel(), type=schemas.vector(vectors.shape[1])
    )


def aggregate(
    features: Vectors, item_ids: Sequence[str], method: Aggregation
) -> tuple[list[str], Vectors, NDArray[np.int32]]:
    """One vector per item: item ids in order of first appearance, vectors (n_items, dim), images per item.

    `first` takes the vector of the item's first row.
    """
    codes, items = pd.factorize(np.asarray(item_ids, dtype=object))
    counts = np.bincount(codes, minlength=len(items)).astype(np.int32)
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(counts) - counts
    grouped = features[order]
    if method == "first":
        vectors = grouped[starts]
    elif method == "max":
        vectors = np.maximum.reduceat(grouped, starts)
    else:
        vectors = (np.add.reduceat(grouped, starts, dtype=np.float64) / counts[:, None]).astype(np.float32)
    return [str(item) for item in items], vectors, counts
