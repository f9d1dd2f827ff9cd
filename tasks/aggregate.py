"""Aggregate: the images of an item become one feature."""

import pyarrow as pa
from prefect.logging import get_run_logger

from tasks.step import step
from vitrine import schemas
from vitrine.config import Aggregation
from vitrine.features import aggregate as aggregate_vectors
from vitrine.features import read_features, vector_column
from vitrine.ledger import ok_rows
from vitrine.results import EncoderInfo, Items, Ledger
from vitrine.store import Store


@step("aggregate", version=1)
def aggregate(store: Store, run: str, ledger: Ledger, encoder: EncoderInfo, method: Aggregation) -> Items:
    """Write one feature per item."""
    rows = ok_rows(store.read_table(ledger.table.path))
    ids, vectors, counts = aggregate_vectors(
        read_features(store, rows["feature_file"].to_pylist(), rows["sha256"].to_pylist(), encoder.dim),
        rows["item_id"].to_pylist(),
        method,
    )
    get_run_logger().info("%d images of %d items, by %s", rows.num_rows, len(ids), method)
    table = pa.Table.from_arrays(
        [pa.array(ids), pa.array(counts), vector_column(vectors)], schema=schemas.items(encoder.dim)
    )
    return Items(table=store.write_table(f"{run}/items.parquet", table))
