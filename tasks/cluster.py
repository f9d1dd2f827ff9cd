"""Cluster: K-Means on the images' vectors, and a contact sheet of every cluster."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from prefect.logging import get_run_logger

from tasks.step import step
from vitrine import plots, schemas, sheets
from vitrine.clustering import assign, dominant_labels, fit_kmeans, label_purity
from vitrine.config import ClusteringConfig
from vitrine.features import vectors_of
from vitrine.images import decode_image
from vitrine.ledger import values_at
from vitrine.models import dump_model
from vitrine.refs import Ref
from vitrine.results import Catalog, Clusters, Reduction
from vitrine.store import Store

IMAGES_PER_SHEET = 24


@step("cluster", version=1)
def cluster(
    store: Store,
    run: str,
    catalog: Catalog,
    reduction: Reduction,
    label: str | None,
    config: ClusteringConfig,
    seed: int,
) -> Clusters:
    """Fit the clusters, write who is in which, and draw them."""
    images = store.read_table(reduction.images.path)
    vectors = vectors_of(images["vector"])
    model = fit_kmeans(vectors, config, seed)
    numbers, distances = assign(model, vectors)
    sizes = tuple(np.bincount(numbers, minlength=model.n_clusters).tolist())
    labels = values_at(store.read_table(catalog.manifest.path), label, images["catalog_row"])
    purity = label_purity(numbers, labels)
    get_run_logger().info(
        "%d clusters of %d to %d images%s",
        len(sizes),
        min(sizes),
        max(sizes),
        "" if purity is None else f", label purity {purity:.3f}",
    )
    table = images.select(["catalog_row", "item_id", "image"])
    table = table.append_column("cluster", pa.array(numbers)).append_column("distance", pa.array(distances))
    dominant = dominant_labels(numbers, labels)
    return Clusters(
        model=store.write_bytes(f"{run}/clusters/kmeans.skops", dump_model(model)),
        assignments=store.write_table(f"{run}/clusters/images.parquet", table.cast(schemas.CLUSTERS)),
        sizes=sizes,
        purity=purity,
        pictures=(
            store.write_bytes(f"{run}/plots/cluster_sizes.png", plots.cluster_sizes(sizes, dominant)),
            *_contact_sheets(store, run, images, numbers, distances, sizes, dominant),
        ),
    )


def _contact_sheets(
    store: Store,
    run: str,
    images: pa.Table,
    numbers: NDArray[np.int32],
    distances: NDArray[np.float32],
    sizes: tuple[int, ...],
    dominant: dict[int, tuple[str, int]],
) -> list[Ref]:
    """A picture per cluster, of the images nearest its centre."""
    written = []
    for number, size in enumerate(sizes):
        members = np.flatnonzero(numbers == number)
        chosen = images.take(members[np.argsort(distances[members], kind="stable")][:IMAGES_PER_SHEET])
        label, count = dominant.get(number, ("", 0))
        sheet = sheets.contact_sheet(
            [decode_image(store.read_image(sha256)) for sha256 in chosen["sha256"].to_pylist()],
            chosen["item_id"].to_pylist(),
            title=f"Cluster {number}: {size} images" + (f", {label} {count / size:.0%}" if label else ""),
        )
        written.append(store.write_bytes(f"{run}/plots/cluster_{number:03d}.png", sheet))
    return written
