"""The main flow: from a catalog to features, clusters, an index and an evaluation, logged to MLflow."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.account import account
from tasks.aggregate import aggregate
from tasks.cluster import cluster
from tasks.download import download
from tasks.evaluate import evaluate
from tasks.extract import extract, load_encoder, plan_extraction
from tasks.index import index
from tasks.reduce import reduce
from tasks.report import report
from tasks.track import log_to_mlflow, tracking_uri
from tasks.validate import validate
from vitrine.catalog import catalog_digest, catalog_name
from vitrine.config import RunConfig
from vitrine.extraction import images_per_second
from vitrine.results import Extraction, Results
from vitrine.runs import RunMetrics, run_folder
from vitrine.store import Store


@flow(
    name="catalog-features",
    flow_run_name="{config.encoder.name} on {config.catalog.path}",
    task_runner=ThreadPoolTaskRunner(max_workers=1),  # type: ignore[arg-type]  # its own types disagree
)
def catalog_features(config: RunConfig) -> RunMetrics:
    """Turn a catalog of product images into features that can be searched, clustered and compared."""
    store, label, seed = Store(config.store), config.catalog.label, config.seed
    targets = tuple(target.column for target in config.catalog.targets)
    tracking_uri(store)  # with nowhere to log to, better end now than after all the work

    encoder = load_encoder(config.encoder)
    run = run_folder(config, catalog_name(config.catalog.path), catalog_digest(config.catalog), encoder)

    catalog = validate(store, run, config.catalog)
    downloads = download(store, catalog, config.download)
    plan = plan_extraction(store, downloads, encoder, config.shard_size)
    extracted = [shard.result() for shard in extract.map(store, plan.shards, encoder, config.encoder)]
    ledger = account(store, run, catalog, downloads, encoder, extracted)

    items = aggregate(store, run, ledger, encoder, config.aggregation)
    reduction = reduce(store, run, ledger, items, encoder, config.reduction, seed)
    clusters = cluster(store, run, catalog, reduction, label, config.clustering, seed)
    neighbors = index(store, run, catalog, reduction, label, config.index, seed)
    evaluation = evaluate(store, catalog, reduction, label, targets, config.index.metric, config.evaluation, seed)

    results = Results(
        run=run,
        config=config,
        encoder=encoder,
        catalog=catalog,
        extraction=Extraction(
            n_images=plan.n_images, n_reused=plan.n_reused, images_per_second=images_per_second(extracted)
        ),
        ledger=ledger,
        items=items,
        reduction=reduction,
        clusters=clusters,
        index=neighbors,
        evaluation=evaluation,
    )
    metrics = log_to_mlflow(store, results)
    report(store, results, metrics)
    return metrics
