"""Evaluate: retrieval by item and by label, a linear probe, and regressions."""

import numpy as np
from prefect.logging import get_run_logger

from tasks.step import step
from vitrine.config import EvaluationConfig, Metric
from vitrine.evaluation import Retrieval, probe_accuracy, regression_r2, retrieval
from vitrine.features import vectors_of
from vitrine.ledger import values_at
from vitrine.results import Catalog, Evaluation, Reduction
from vitrine.store import Store


@step("evaluate", version=1)
def evaluate(
    store: Store,
    catalog: Catalog,
    reduction: Reduction,
    label: str | None,
    targets: tuple[str, ...],
    metric: Metric,
    config: EvaluationConfig,
    seed: int,
) -> Evaluation:
    """Measure the reduced vectors against what the catalog says of its images."""
    images = store.read_table(reduction.images.path)
    manifest = store.read_table(catalog.manifest.path)
    vectors = vectors_of(images["vector"])
    items, copies = images["item_id"].to_pylist(), images["sha256"].to_pylist()
    labels = values_at(manifest, label, images["catalog_row"])
    regressions = {
        target: regression_r2(
            vectors, np.array(values_at(manifest, target, images["catalog_row"]), np.float64), items, config, seed
        )
        for target in targets
    }
    evaluation = Evaluation(
        by_item=retrieval(vectors, metric, items, excluded=[copies]),
        by_label=retrieval(vectors, metric, labels, excluded=[items, copies]),
        probe_accuracy=probe_accuracy(vectors, labels, items, config, seed),
        regressions={target: found for target, found in regressions.items() if found},
    )
    _log("item", evaluation.by_item)
    _log("label", evaluation.by_label)
    return evaluation


def _log(by: str, found: Retrieval | None) -> None:
    if found:
        hits = ", ".join(f"hit@{k} {value:.3f}" for k, value in found.hit_at.items())
        get_run_logger().info("by %s: %d queries, %s", by, found.n_queries, hits)
