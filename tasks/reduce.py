"""Reduce: PCA is fitted on the images' features and applied to images and items."""

import pyarrow as pa
from prefect.logging import get_run_logger

from tasks.step import step
from vitrine import plots, schemas
from vitrine.config import ReductionConfig
from vitrine.features import read_features, vector_column, vectors_of
from vitrine.ledger import ok_rows
from vitrine.models import dump_model
from vitrine.reduction import apply_pca, fit_pca
from vitrine.results import EncoderInfo, Items, Ledger, Reduction
from vitrine.store import Store


@step("reduce", version=1)
def reduce(
    store: Store, run: str, ledger: Ledger, items: Items, encoder: EncoderInfo, config: ReductionConfig, seed: int
) -> Reduction:
    """Fit the PCA, write it, and write the vectors of every image and item."""
    rows = ok_rows(store.read_table(ledger.table.path))
    features = read_features(store, rows["feature_file"].to_pylist(), rows["sha256"].to_pylist(), encoder.dim)
    pca = fit_pca(features, config, seed)
    vectors = apply_pca(pca, features)
    dim = vectors.shape[1]
    explained = float(pca.explained_variance_ratio_.sum())
    get_run_logger().info("%d -> %d dimensions keep %.1f%% of the variance", encoder.dim, dim, 100 * explained)
    images = rows.select(["catalog_row", "item_id", "image", "sha256"]).append_column("vector", vector_column(vectors))
    item_table = store.read_table(items.table.path)
    item_vectors = vector_column(apply_pca(pca, vectors_of(item_table["feature"])))
    return Reduction(
        pca=store.write_bytes(f"{run}/pca/pca.skops", dump_model(pca)),
        images=store.write_table(f"{run}/pca/images.parquet", images.cast(schemas.image_vectors(dim))),
        items=store.write_table(
            f"{run}/pca/items.parquet",
            pa.Table.from_arrays([item_table["item_id"], item_vectors], schema=schemas.item_vectors(dim)),
        ),
        dim=dim,
        explained_variance=explained,
        scree=store.write_bytes(f"{run}/plots/scree.png", plots.scree(pca.explained_variance_ratio_)),
    )
