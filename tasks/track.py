"""Track: one flow run is one MLflow run, linked with it both ways."""

import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pyarrow.compute as pc
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric, Param, Run
from mlflow.models import infer_signature
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE as NOTE
from prefect import task
from prefect.artifacts import create_link_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.tasks import exponential_backoff

from tasks.step import RETRIES, is_worth_a_retry
from vitrine.errors import StoreError
from vitrine.features import read_features, vectors_of
from vitrine.ledger import OK, ok_rows
from vitrine.models import load_model
from vitrine.results import Evaluation, Results
from vitrine.runs import METRICS, RunMetrics, run_metrics
from vitrine.store import Store

TRACKING_URI = "MLFLOW_TRACKING_URI"
FLOW_RUN_TAG = "prefect.flow_run_id"
FAILURES_SHOWN = 1000
SIGNATURE_ROWS = 2
"""Rows that a model's signature is read off."""


def tracking_uri(store: Store) -> str:
    """Where runs are logged: MLflow's own setting, or else a database in the store.

    Raises:
        StoreError: there is no setting, and the store is not a local folder.
    """
    uri = os.environ.get(TRACKING_URI)
    if not uri and not store.is_local:
        raise StoreError(
            f"{store.root}: is not a local folder, so MLflow's database cannot lie in it. "
            f"Set {TRACKING_URI} to the address of an MLflow server"
        )
    return uri or f"sqlite:///{store.local_root / 'mlflow.db'}"


@task(
    name="log to MLflow",
    retries=RETRIES,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_worth_a_retry,
)
def log_to_mlflow(store: Store, results: Results) -> RunMetrics:
    """Log the run: parameters, metrics, pictures, tables, models and the catalog. A retry goes on with the same run."""
    uri = tracking_uri(store)
    client = MlflowClient(uri)
    run = _open_run(client, store, results)
    metrics = run_metrics(store, results, run.info.run_id)
    client.log_batch(
        run.info.run_id, metrics=list(_metrics(metrics, results.evaluation)), params=list(_params(results))
    )
    with _active(uri, run):
        _log_files(client, store, results, metrics)
        _log_catalog(store, results)
        _log_models(store, results)
    _link_from_prefect(run)
    return metrics


@contextmanager
def _active(uri: str, run: Run) -> Iterator[None]:
    """Make a run the active one, for what MLflow's client cannot log, and leave MLflow's global settings as found."""
    before = os.environ.get(TRACKING_URI)
    mlflow.set_tracking_uri(uri)
    try:
        with mlflow.start_run(run_id=run.info.run_id), warnings.catch_warnings():
            # MLflow warns of integer columns, and that a local file is a local file.
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        mlflow.set_tracking_uri(before or "")
        if before is None:
            os.environ.pop(TRACKING_URI, None)


def _open_run(client: MlflowClient, store: Store, results: Results) -> Run:
    """The MLflow run of this flow run: the one that an earlier try began, or a new one."""
    experiment = _experiment(client, store, results.catalog.name)
    begun = client.search_runs([experiment], f"tags.`{FLOW_RUN_TAG}` = '{flow_run.id}'", max_results=1)
    if begun:
        return begun[0]
    name = f"{results.catalog.name} {results.encoder.name} pca{results.reduction.dim} {results.config.index.metric}"
    started = int(flow_run.scheduled_start_time.timestamp() * 1000)
    run = client.create_run(experiment, start_time=started, tags=_tags(store, results), run_name=name)
    get_run_logger().info("MLflow run %s '%s'", run.info.run_id, name)
    return run


def _experiment(client: MlflowClient, store: Store, name: str) -> str:
    """The experiment of a catalog. Without a tracking server its artifacts lie in the store, too."""
    experiment = client.get_experiment_by_name(name)
    if experiment:
        return str(experiment.experiment_id)
    local = not os.environ.get(TRACKING_URI)
    location = (store.local_root / "mlartifacts").as_uri() if local else None
    return str(client.create_experiment(name, artifact_location=location))


def _tags(store: Store, results: Results) -> dict[str, str]:
    tags = {
        NOTE: f"[Prefect flow run]({prefect_run_url()}). Everything it wrote: `{store.path(results.run)}`",
        FLOW_RUN_TAG: str(flow_run.id),
        "prefect.flow_run_name": str(flow_run.name),
        "prefect.flow_run_url": prefect_run_url(),
        "vitrine.run": results.name,
        "vitrine.store": store.root,
        "vitrine.catalog_digest": results.catalog.digest,
        "vitrine.encoder_fingerprint": results.encoder.fingerprint,
    }
    # Who ran it, from which file and commit: what MLflow's own start_run would add.
    return dict(resolve_tags(tags))


def _params(results: Results) -> Iterator[Param]:
    """Names and types are the same in every run, so that MLflow's pages can compare any two."""
    config = results.config
    params = {
        "encoder": results.encoder.name,
        "pca": config.reduction.n_components,
        "n_clusters": config.clustering.n_clusters,
        "metric": config.index.metric,
        "n_neighbors": config.index.n_neighbors,
        "aggregation": config.aggregation,
        "label": config.catalog.label or "",
        "targets": ",".join(target.column for target in config.catalog.targets),
        "target_transform": config.evaluation.target_transform,
        "n_folds": config.evaluation.n_folds,
        "seed": config.seed,
    }
    return (Param(name, str(value)) for name, value in params.items())


def _metrics(metrics: RunMetrics, evaluation: Evaluation) -> Iterator[Metric]:
    values = metrics.model_dump(exclude={"store", "run", "mlflow_run_id", "r2", "target_transforms"})
    values |= {f"r2_{target}": r2 for target, r2 in metrics.r2.items()}
    for by, retrieval in (("item", evaluation.by_item), ("label", evaluation.by_label)):
        if retrieval:
            values |= {f"{by}_precision_at_{k}": value for k, value in retrieval.precision_at.items()}
            values |= {f"{by}_hit_at_{k}": value for k, value in retrieval.hit_at.items()}
    now = int(time.time() * 1000)
    return (Metric(name, float(value), now, 0) for name, value in values.items() if value is not None)


def _log_files(client: MlflowClient, store: Store, results: Results, metrics: RunMetrics) -> None:
    """Pictures, the validation report and tables, under the names that they have in the run's folder."""
    files = [
        results.reduction.scree,
        *results.clusters.pictures,
        results.index.examples,
        results.ledger.table,
        results.catalog.quarantine,
        results.clusters.assignments,
        results.index.neighbors,
    ]
    names = [ref.path for ref in files] + store.walk(results.catalog.docs)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            copy = Path(folder, name.removeprefix(f"{results.run}/"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(store.read_bytes(name))
        Path(folder, METRICS).write_text(metrics.model_dump_json(indent=2), encoding="utf-8")
        client.log_artifacts(metrics.mlflow_run_id, folder)
    client.log_table(metrics.mlflow_run_id, _failures(store.read_table(results.ledger.table.path)), "failures.json")


def _failures(ledger: pa.Table) -> dict[str, Any]:
    """The first rows without a feature, for MLflow's page; all of them are in the ledger."""
    failed = ledger.filter(pc.not_equal(ledger["status"], OK)).slice(0, FAILURES_SHOWN)
    columns = ["catalog_row", "item_id", "image", "status", "reason", "detail"]
    return {name: [str(value) for value in failed[name].to_pylist()] for name in columns}


def _log_catalog(store: Store, results: Results) -> None:
    manifest = store.read_table(results.catalog.manifest.path).to_pandas()
    digest = results.catalog.digest[:32]
    mlflow.log_input(
        from_pandas(manifest, source=results.config.catalog.path, name=results.catalog.name, digest=digest),
        context="catalog",
    )


def _log_models(store: Store, results: Results) -> None:
    """The PCA and the clusters as scikit-learn models with signatures."""
    pca = load_model(store.read_bytes(results.reduction.pca.path))
    clusters = load_model(store.read_bytes(results.clusters.model.path))
    ledger = ok_rows(store.read_table(results.ledger.table.path)).slice(0, SIGNATURE_ROWS)
    features = read_features(
        store, ledger["feature_file"].to_pylist(), ledger["sha256"].to_pylist(), results.encoder.dim
    )
    vectors = vectors_of(store.read_table(results.reduction.images.path).slice(0, SIGNATURE_ROWS)["vector"])
    for name, model, inputs, outputs in (
        ("pca", pca, features, pca.transform(features)),
        ("kmeans", clusters, vectors, clusters.predict(vectors)),
    ):
        mlflow.sklearn.log_model(
            model,
            name=name,
            serialization_format="skops",
            signature=infer_signature(inputs, outputs),
            pip_requirements=_requirements("scikit-learn", "skops", "numpy"),
        )


def _requirements(*packages: str) -> list[str]:
    """Given, because MLflow would start a process to find them out."""
    return [f"{package}=={version(package)}" for package in packages]


def prefect_run_url() -> str:
    """Where Prefect's page shows this flow run; the embedded server is taken to run on its usual port."""
    return f"{os.environ.get('PREFECT_UI_URL', 'http://127.0.0.1:4200')}/runs/flow-run/{flow_run.id}"


def _link_from_prefect(run: Run) -> None:
    uri = os.environ.get(TRACKING_URI, "")
    page = uri if uri.startswith("http") else "http://127.0.0.1:5000"
    create_link_artifact(
        f"{page}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}",
        link_text=f"MLflow run {run.info.run_name}",
        key="mlflow-run",
        description="Parameters, metrics, pictures and models of this run",
    )
