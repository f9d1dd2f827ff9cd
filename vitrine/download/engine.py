"""Fetch the images of a catalog into the store, and tell what became of each."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.config import DownloadConfig
from vitrine.download.fetched import Fetched, FetchError
from vitrine.download.local import read_local
from vitrine.download.progress import DownloadProgress, Meter
from vitrine.download.remote import fetch_remote, new_session
from vitrine.download.reuse import still_good
from vitrine.download.sources import is_http, local_root
from vitrine.errors import ImageError
from vitrine.images import read_header
from vitrine.schemas import DOWNLOADS
from vitrine.store import Store

CHECKPOINT_ROWS = 1000

Row = dict[str, Any]
"""A row of `DOWNLOADS`; a column that it lacks is null."""


def download_images(
    store: Store,
    images: Iterable[str],
    base: str,
    previous: pa.Table | None,
    config: DownloadConfig,
    on_progress: Callable[[DownloadProgress], None],
    on_checkpoint: Callable[[pa.Table], object],
) -> pa.Table:
    """Fetch the images into the store.

    What `previous` (schema `DOWNLOADS`, a row per image) says is taken over where the image ended ok, the store still
    holds its bytes and, for a local file, the file is unchanged. All else is fetched.
    Must not be called on a thread whose event loop is running.

    Args:
        store: Takes the images' bytes.
        images: Paths and URLs; one that is named twice is fetched once.
        base: The catalog's folder, against which local paths are read.
        previous: What an earlier download, or its last checkpoint, returned.
        config: Bounds on concurrency, time, bytes and pixels.
        on_progress: Called at most once a second, and at the end.
        on_checkpoint: Called on another thread, never twice at once, with all outcomes so far, in no order,
            each time that `CHECKPOINT_ROWS` more images were fetched.

    Returns:
        A table, schema `DOWNLOADS`: a row per distinct image, in the order in which they are first named.

    Raises:
        StoreError: the store cannot be written. The download ends there; no image is failed for it.
    """
    wanted = pc.unique(pa.array(images, pa.string()))
    root = local_root(base)
    kept = DOWNLOADS.empty_table()
    if previous is not None:
        kept = still_good(previous, wanted, store, root, config.concurrency)
    meter = Meter(total=len(wanted), done=kept.num_rows, report=on_progress)
    ledger = _Ledger(kept, meter, on_checkpoint)
    asyncio.run(_fetch_all(_Fetcher(store, root, config), _without(wanted, kept["image"]), ledger))
    meter.report()
    return _in_order(ledger.table(), wanted)


def _without(images: pa.Array, done: pa.ChunkedArray) -> pa.Array:
    return images.filter(pc.invert(pc.is_in(images, value_set=done)))


def _in_order(table: pa.Table, images: pa.Array) -> pa.Table:
    return table.take(pc.sort_indices(pc.index_in(table["image"], value_set=images)))


class _Ledger:
    """Collects rows as they come, in Arrow's compact form."""

    def __init__(self, kept: pa.Table, meter: Meter, on_checkpoint: Callable[[pa.Table], object]) -> None:
        self._tables = [kept]
        self._rows: list[Row] = []
        self._meter = meter
        self._on_checkpoint = on_checkpoint
        self._writing = asyncio.Lock()

    async def add(self, row: Row) -> None:
        """Take in a row."""
        self._rows.append(row)
        self._meter.count(failed=row["status"] == "failed", n_bytes=row.get("bytes", 0))
        if len(self._rows) == CHECKPOINT_ROWS:
            self._pack()
            async with self._writing:
                await asyncio.to_thread(self._on_checkpoint, self.table())

    def table(self) -> pa.Table:
        """All rows so far."""
        self._pack()
        return pa.concat_tables(self._tables)

    def _pack(self) -> None:
        self._tables.append(pa.Table.from_pylist(self._rows, DOWNLOADS))
        self._rows = []


@dataclass(frozen=True)
class _Fetcher:
    """Turns an image string into bytes in the store and a row of the ledger."""

    store: Store
    root: Path | None
    config: DownloadConfig

    async def row(self, session: aiohttp.ClientSession, image: str) -> Row:
        """Fetch one image. Whatever is the image's fault ends in the row, whatever is the store's is raised."""
        started = time.monotonic()
        row: Row = {"image": image, "status": "ok", "attempts": 1}
        try:
            fetched = await self._fetch(session, image)
            row |= _said(fetched)
            row |= await asyncio.to_thread(self._keep, fetched.data)
        except ImageError as error:
            row |= _failure(error)
        return row | {"seconds": time.monotonic() - started, "fetched_at": datetime.now(UTC)}

    async def _fetch(self, session: aiohttp.ClientSession, image: str) -> Fetched:
        if is_http(image):
            return await fetch_remote(session, image, self.config.max_bytes)
        return await asyncio.to_thread(read_local, image, self.root, self.config.max_bytes)

    def _keep(self, data: bytes) -> Row:
        header = read_header(data, self.config.max_pixels)
        return {"sha256": self.store.write_image(data), **header.model_dump()}


def _said(fetched: Fetched) -> Row:
    return {
        "attempts": fetched.attempts,
        "http_status": fetched.http_status,
        "etag": fetched.etag,
        "last_modified": fetched.last_modified,
        "bytes": len(fetched.data),
    }


def _failure(error: ImageError) -> Row:
    row: Row = {"status": "failed", "reason": error.reason, "detail": str(error)}
    if isinstance(error, FetchError):
        row |= {"attempts": error.attempts, "http_status": error.http_status}
    return row


async def _fetch_all(fetcher: _Fetcher, images: pa.Array, ledger: _Ledger) -> None:
    """Fetch by a fixed number of workers, so that a catalog of millions makes no millions of tasks."""
    todo = iter(images)

    async def work(session: aiohttp.ClientSession) -> None:
        for image in todo:
            await ledger.add(await fetcher.row(session, image.as_py()))

    concurrency = min(fetcher.config.concurrency, len(images))
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(fetcher.config.concurrency))
    async with new_session(fetcher.config.timeout_seconds, concurrency) as session:
        workers = [asyncio.create_task(work(session)) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:  # the first error ends the other workers too
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
