"""Runs: a folder of the store that is named after what it holds, and the record that says it is whole."""

import json
from datetime import UTC, datetime

from pydantic import ValidationError

from vitrine.config import Frozen, RunConfig
from vitrine.errors import RunError
from vitrine.refs import Ref
from vitrine.results import EncoderInfo, Results
from vitrine.store import Store, digest_of

RECORD = "run.json"
METRICS = "metrics.json"


class RunMetrics(Frozen):
    """The figures of a run, as `metrics.json` keeps them. None where the catalog cannot tell."""

    rows_in: int
    rows_ok: int
    rows_failed: int
    rows_quarantined: int
    images_extracted: int
    """Distinct images that this flow run computed."""
    images_reused: int
    """Distinct images whose outcome the store held already."""
    images_per_second: float | None
    """Rate of this flow run's extraction, decoding included."""
    embedding_dim: int
    pca_dim: int
    explained_variance: float
    clusters: int
    cluster_purity: float | None
    item_hit_at_1: float | None
    item_hit_at_5: float | None
    label_precision_at_1: float | None
    label_precision_at_5: float | None
    label_precision_at_10: float | None
    probe_accuracy: float | None
    r2: dict[str, float]
    """By target, of the values as they were predicted."""
    target_transforms: dict[str, str]
    """By target, what was predicted: `log` of the value, or `none`, the value itself."""
    store: str
    run: str
    mlflow_run_id: str


class RunRecord(Frozen):
    """What a whole run is made of: enough to search it."""

    name: str
    finished_at: datetime
    config: RunConfig
    encoder: EncoderInfo
    images: Ref
    pca: Ref
    index: Ref


def run_metrics(store: Store, results: Results, mlflow_run_id: str) -> RunMetrics:
    """The figures of a run."""
    by_item, by_label = results.evaluation.by_item, results.evaluation.by_label
    return RunMetrics(
        rows_in=results.catalog.n_rows,
        rows_ok=results.ledger.n_ok,
        rows_failed=results.ledger.n_failed,
        rows_quarantined=results.ledger.n_quarantined,
        images_extracted=results.extraction.n_images,
        images_reused=results.extraction.n_reused,
        images_per_second=results.extraction.images_per_second,
        embedding_dim=results.encoder.dim,
        pca_dim=results.reduction.dim,
        explained_variance=results.reduction.explained_variance,
        clusters=len(results.clusters.sizes),
        cluster_purity=results.clusters.purity,
        item_hit_at_1=by_item.hit_at[1] if by_item else None,
        item_hit_at_5=by_item.hit_at[5] if by_item else None,
        label_precision_at_1=by_label.precision_at[1] if by_label else None,
        label_precision_at_5=by_label.precision_at[5] if by_label else None,
        label_precision_at_10=by_label.precision_at[10] if by_label else None,
        probe_accuracy=results.evaluation.probe_accuracy,
        r2={target: regression.r2 for target, regression in results.evaluation.regressions.items()},
        target_transforms={
            target: regression.transform for target, regression in results.evaluation.regressions.items()
        },
        store=str(store.local_root) if store.is_local else store.root,
        run=results.name,
        mlflow_run_id=mlflow_run_id,
    )


def run_folder(config: RunConfig, catalog: str, catalog_digest: str, encoder: EncoderInfo) -> str:
    """The folder of a run. Its name is a function of what decides its content: the same command finds the same folder.

    How the work is done (store, devices, batches, shards, connections) and where the catalog lies are not part of it.
    """
    what = config.model_dump(
        mode="json", exclude={"store": True, "download": True, "shard_size": True, "encoder": True, "catalog": {"path"}}
    )
    identity = digest_of(json.dumps([what, catalog_digest, encoder.fingerprint], sort_keys=True).encode())
    return f"runs/{catalog}-{encoder.folder.removeprefix('features/').rsplit('-', 1)[0]}-{identity[:10]}"


def finish(store: Store, results: Results, metrics: RunMetrics) -> None:
    """Write the run's metrics, then the record that declares it whole: nothing of a run is written after it."""
    record = RunRecord(
        name=results.name,
        finished_at=datetime.now(UTC),
        config=results.config,
        encoder=results.encoder,
        images=results.reduction.images,
        pca=results.reduction.pca,
        index=results.index.index,
    )
    store.write_bytes(f"{results.run}/{METRICS}", metrics.model_dump_json(indent=2).encode())
    store.write_bytes(f"{results.run}/{RECORD}", record.model_dump_json(indent=2).encode())


def newest_run(store: Store) -> RunRecord:
    """The whole run that finished last.

    Raises:
        RunError: the store holds none.
    """
    records = {
        folder: store.read_bytes(f"{folder}/{RECORD}")
        for folder in store.names("runs")
        if store.exists(f"{folder}/{RECORD}")
    }
    if not records:
        raise RunError(f"{store.root}: holds no finished run. Make one with: vitrine run CATALOG --store {store.root}")
    newest = max(records, key=lambda folder: str(json.loads(records[folder])["finished_at"]))
    try:
        return RunRecord.model_validate_json(records[newest])
    except ValidationError as error:
        path = store.path(newest)
        raise RunError(f"{path}: was made by another version of Vitrine. Run its catalog again") from error
