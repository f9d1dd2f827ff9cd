"""Every table that Vitrine writes, as Arrow schemas.

The manifest is the exception that proves the rule: its first columns are `MANIFEST`, and the catalog's own columns
follow as they came (numeric targets as float64, the label as a string).
"""

import pyarrow as pa

ROW = pa.field("catalog_row", pa.int64(), nullable=False)
"""A row's number in the catalog, counted from 1: the key that joins every table of a run."""

MANIFEST = pa.schema(
    [
        ROW,
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
    ]
)
"""The rows that passed validation."""

QUARANTINE = pa.schema(
    [
        ROW,
        pa.field("item_id", pa.string()),
        pa.field("image", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("value", pa.string()),
    ]
)
"""The rows that did not, each with its first reason and the value at fault."""

DOWNLOADS = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("http_status", pa.int32()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("bytes", pa.int64()),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("etag", pa.string()),
        pa.field("last_modified", pa.string()),
        pa.field("fetched_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""The download ledger: one outcome per distinct image of the manifest. `status` is ok or failed.
For a local file `etag` is its size and modification time."""

LEDGER = pa.schema(
    [
        ROW,
        pa.field("item_id", pa.string()),
        pa.field("image", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("feature_file", pa.string()),
    ]
)
"""A run's ledger: every catalog row, in order, with the one outcome it ended in: ok, failed or quarantined.
`feature_file` names the store's file that holds the feature of an ok row."""

NEIGHBORS = pa.schema(
    [
        ROW,
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("neighbor_row", pa.int64(), nullable=False),
        pa.field("neighbor_item_id", pa.string(), nullable=False),
        pa.field("neighbor_image", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)
"""The nearest images of every image, best first; rank counts from 1.
`score` is the cosine similarity, or minus the euclidean distance."""

CLUSTERS = pa.schema(
    [
        ROW,
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("distance", pa.float32(), nullable=False),
    ]
)
"""The cluster of every image and its distance to the centre; clusters are numbered by falling size."""


def vector(dim: int) -> pa.DataType:
    """The Arrow type of one embedding: a fixed-size list of float32."""
    return pa.list_(pa.float32(), dim)


def features(dim: int) -> pa.Schema:
    """A feature shard: a row per image, with a vector, or a reason why there is none.

    A failed image's vector is NaN throughout: Parquet cannot be read back with nulls in a fixed-size list.
    """
    return pa.schema(
        [
            pa.field("sha256", pa.string(), nullable=False),
            pa.field("feature", vector(dim), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("detail", pa.string()),
        ]
    )


def items(dim: int) -> pa.Schema:
    """The items of a run: one vector per item."""
    return pa.schema(
        [
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("n_images", pa.int32(), nullable=False),
            pa.field("feature", vector(dim), nullable=False),
        ]
    )


def image_vectors(dim: int) -> pa.Schema:
    """The reduced vectors of a run: one per image that has a feature, in catalog order, of unit length."""
    return pa.schema(
        [
            ROW,
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("image", pa.string(), nullable=False),
            pa.field("sha256", pa.string(), nullable=False),
            pa.field("vector", vector(dim), nullable=False),
        ]
    )


def item_vectors(dim: int) -> pa.Schema:
    """The reduced vectors of a run's items, of unit length."""
    return pa.schema(
        [
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("vector", vector(dim), nullable=False),
        ]
    )
