"""Download: every image of the manifest, once, into the content-addressed store."""

import pyarrow as pa
import pyarrow.compute as pc
from prefect.logging import get_run_logger

from tasks.progress import Paced
from tasks.step import step
from vitrine.config import DownloadConfig
from vitrine.download.engine import download_images
from vitrine.download.progress import DownloadProgress
from vitrine.download.sources import is_http, source_state
from vitrine.results import Catalog, Downloads
from vitrine.store import Store, digest_of, image_name


def _state(store: Store, catalog: Catalog, **_: object) -> str:
    """What the inputs do not show: how the local files stand, and which fetched images the store has lost since."""
    name = _ledger_name(catalog)
    fetched = store.read_table(name, columns=["sha256"])["sha256"].drop_null().to_pylist() if store.exists(name) else []
    lost = [sha256 for sha256 in fetched if not store.exists(image_name(sha256))]
    return digest_of("".join([source_state(_images(store, catalog), catalog.base), *lost]).encode())


@step("download", version=1, state=_state)
def download(store: Store, catalog: Catalog, config: DownloadConfig) -> Downloads:
    """Fetch what the catalog's ledger does not have yet, and write the ledger."""
    name = _ledger_name(catalog)
    previous = store.read_table(name) if store.exists(name) else None
    logger = get_run_logger()

    def checkpoint(part: pa.Table) -> None:
        store.write_table(name, _with_others(part, previous))

    def tell(progress: DownloadProgress) -> None:
        logger.info(
            "%d of %d images, %d failed, %.0f MB in %.0f s",
            progress.done,
            progress.total,
            progress.failed,
            progress.bytes / 1e6,
            progress.seconds,
        )

    ledger = download_images(
        store,
        _images(store, catalog),
        catalog.base,
        previous,
        config,
        on_progress=Paced(tell),
        on_checkpoint=checkpoint,
    )
    failed = ledger.filter(pc.equal(ledger["status"], "failed"))
    logger.info("%d images are in the store, %d failed", ledger.num_rows - failed.num_rows, failed.num_rows)
    return Downloads(
        ledger=store.write_table(name, _with_others(ledger, previous)),
        n_retryable=sum(is_http(image) for image in failed["image"].to_pylist()),
    )


def _ledger_name(catalog: Catalog) -> str:
    return f"downloads/{catalog.name}-{digest_of(catalog.base.encode())[:8]}.parquet"


def _images(store: Store, catalog: Catalog) -> list[str]:
    images: list[str] = store.read_table(catalog.manifest.path, columns=["image"])["image"].to_pylist()
    return images


def _with_others(ledger: pa.Table, previous: pa.Table | None) -> pa.Table:
    """The ledger with the outcomes of images that it does not speak of: another version of the catalog may."""
    if previous is None:
        return ledger
    others = previous.filter(pc.invert(pc.is_in(previous["image"], ledger["image"].combine_chunks())))
    return pa.concat_tables([ledger, others])
