"""Validate: the manifest's good rows go on, the others go to quarantine with their reason."""

import tempfile
from pathlib import Path

from prefect.logging import get_run_logger

from tasks.step import step
from vitrine.catalog import catalog_base, catalog_digest, catalog_name, read_manifest
from vitrine.config import CatalogConfig
from vitrine.results import Catalog
from vitrine.store import Store
from vitrine.validation import validate as validate_table


def _file_state(config: CatalogConfig, **_: object) -> str:
    return catalog_digest(config)


@step("validate", version=1, state=_file_state)
def validate(store: Store, run: str, config: CatalogConfig) -> Catalog:
    """Read the manifest, check it with Great Expectations, and split its rows."""
    docs = f"{run}/validation"
    with tempfile.TemporaryDirectory() as folder:
        try:
            validation = validate_table(read_manifest(config), config, Path(folder))
        finally:
            store.write_tree(docs, Path(folder))
    get_run_logger().info(
        "%s: %d rows pass, %d are quarantined",
        config.path,
        validation.manifest.num_rows,
        validation.quarantine.num_rows,
    )
    return Catalog(
        name=catalog_name(config.path),
        digest=catalog_digest(config),
        base=catalog_base(config.path),
        manifest=store.write_table(f"{run}/manifest.parquet", validation.manifest),
        quarantine=store.write_table(f"{run}/quarantine.parquet", validation.quarantine),
        checks=validation.checks,
        docs=docs,
    )
