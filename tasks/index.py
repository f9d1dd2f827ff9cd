"""Index: FAISS over the images' vectors, the neighbours of every image, and a picture of some."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from prefect.logging import get_run_logger

from tasks.step import step
from vitrine import schemas, sheets
from vitrine.config import IndexConfig
from vitrine.features import vectors_of
from vitrine.images import decode_image
from vitrine.index import build_index, dump_index, nearest_others
from vitrine.ledger import values_at
from vitrine.results import Catalog, Index, Reduction
from vitrine.store import Store

EXAMPLE_QUERIES = 8
EXAMPLE_NEIGHBORS = 6


@step("index", version=1)
def index(
    store: Store, run: str, catalog: Catalog, reduction: Reduction, label: str | None, config: IndexConfig, seed: int
) -> Index:
    """Build the index and write each image's nearest others."""
    images = store.read_table(reduction.images.path)
    vectors = vectors_of(images["vector"])
    built = build_index(vectors, config.metric)
    scores, rows = nearest_others(built, config.metric, vectors, config.n_neighbors)
    get_run_logger().info("%d images, exact, by %s", images.num_rows, config.metric)
    labels = values_at(store.read_table(catalog.manifest.path), label, images["catalog_row"])
    return Index(
        index=store.write_bytes(f"{run}/index/images.faiss", dump_index(built)),
        neighbors=store.write_table(f"{run}/index/neighbors.parquet", _neighbor_table(images, scores, rows)),
        examples=store.write_bytes(f"{run}/plots/neighbors.png", _examples(store, images, labels, scores, rows, seed)),
    )


def _neighbor_table(images: pa.Table, scores: NDArray[np.float32], rows: NDArray[np.int64]) -> pa.Table:
    n, k = rows.shape
    queries = images.select(["catalog_row", "item_id", "image"]).take(np.repeat(np.arange(n), k))
    found = images.select(["catalog_row", "item_id", "image"]).take(rows.ravel())
    ranks = pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), n))
    columns = [*queries.columns, ranks, *found.columns, pa.array(scores.ravel())]
    return pa.Table.from_arrays(columns, schema=schemas.NEIGHBORS)


def _examples(
    store: Store,
    images: pa.Table,
    labels: list[str | None],
    scores: NDArray[np.float32],
    rows: NDArray[np.int64],
    seed: int,
) -> bytes:
    """A picture of some queries, drawn at random, with what is nearest to them."""
    items, sha256s = images["item_id"].to_pylist(), images["sha256"].to_pylist()

    def picture(row: int) -> sheets.Picture:
        return sheets.Picture(decode_image(store.read_image(sha256s[row])), items[row], labels[row])

    drawn = np.random.default_rng(seed).choice(len(items), size=min(EXAMPLE_QUERIES, len(items)), replace=False)
    return sheets.neighbor_sheet(
        [
            sheets.Neighborhood(
                picture(query),
                [
                    sheets.Neighbor(picture(row), float(score))
                    for row, score in zip(rows[query], scores[query], strict=True)
                ][:EXAMPLE_NEIGHBORS],
            )
            for query in sorted(drawn)
        ]
    )
