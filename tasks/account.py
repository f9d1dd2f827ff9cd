"""Account: every catalog row ends in exactly one outcome, with its reason."""

import pyarrow.compute as pc
from prefect.logging import get_run_logger

from tasks.step import step
from vitrine.errors import RunError
from vitrine.extraction import ShardResult
from vitrine.features import held_features
from vitrine.ledger import FAILED, OK, QUARANTINED, n_retryable
from vitrine.ledger import account as account_rows
from vitrine.results import Catalog, Downloads, EncoderInfo, Ledger
from vitrine.store import Store, digest_of


def _features_state(store: Store, encoder: EncoderInfo, **_: object) -> str:
    return digest_of("".join(store.names(encoder.folder)).encode())


@step("account", version=1, how=("extracted",), state=_features_state)
def account(
    store: Store,
    run: str,
    catalog: Catalog,
    downloads: Downloads,
    encoder: EncoderInfo,
    extracted: list[ShardResult],  # noqa: ARG001  (waited for; what it wrote is read from the store)
) -> Ledger:
    """Write the run's ledger."""
    table = account_rows(
        store.read_table(catalog.manifest.path),
        store.read_table(catalog.quarantine.path),
        store.read_table(downloads.ledger.path, columns=["image", "sha256", "status", "reason", "detail"]),
        held_features(store, encoder.folder),
    )
    count = {status: pc.sum(pc.equal(table["status"], status)).as_py() for status in (OK, FAILED, QUARANTINED)}
    get_run_logger().info("%d rows: %s", table.num_rows, ", ".join(f"{n} {status}" for status, n in count.items()))
    if table.num_rows != catalog.n_rows:
        raise AssertionError(f"{catalog.n_rows} rows came in, {table.num_rows} are accounted for")
    if not count[OK]:
        raise RunError(
            f"{catalog.name}: no row ended in a feature. Their reasons are in {store.path(run)}/ledger.parquet"
        )
    return Ledger(
        table=store.write_table(f"{run}/ledger.parquet", table),
        n_ok=count[OK],
        n_failed=count[FAILED],
        n_quarantined=count[QUARANTINED],
        n_retryable=n_retryable(table),
    )
