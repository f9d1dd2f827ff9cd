"""Which outcomes of an earlier download still hold."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vitrine.download.sources import is_http, local_state
from vitrine.store import Store, image_name

_BATCH_ROWS = 1000


def still_good(previous: pa.Table, images: pa.Array, store: Store, root: Path | None, threads: int) -> pa.Table:
    """The rows of `previous`, schema `DOWNLOADS`, that need no fetching.

    They are of `images`, ended ok, the store holds their bytes, and where they are local files, these are unchanged.
    """
    named = pc.and_(pc.equal(previous["status"], "ok"), pc.is_in(previous["image"], value_set=images))
    candidates = previous.filter(named)

    def holding(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = batch.select(["image", "sha256", "etag"]).to_pylist()
        return batch.filter(pa.array([_holds(store, root, **row) for row in rows], pa.bool_()))

    with ThreadPoolExecutor(threads) as pool:
        kept = list(pool.map(holding, candidates.to_batches(max_chunksize=_BATCH_ROWS)))
    return pa.Table.from_batches(kept, previous.schema)


def _holds(store: Store, root: Path | None, image: str, sha256: str, etag: str | None) -> bool:
    return (is_http(image) or local_state(image, root) == etag) and store.exists(image_name(sha256))
