"""Report: what Prefect's page shows of a run, and the record that declares it whole."""

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from vitrine.reasons import MEANING, Reason
from vitrine.results import Catalog, Results
from vitrine.runs import RunMetrics, finish
from vitrine.store import Store


@task(name="report")
def report(store: Store, results: Results, metrics: RunMetrics) -> None:
    """Publish the run's artifacts and declare it whole."""
    create_markdown_artifact(_validation(store, results.catalog), key="validation")
    create_table_artifact(_outcomes(store, results), key="outcomes", description="Catalog rows by outcome and reason")
    create_table_artifact(
        [{"metric": name, "value": value} for name, value in metrics.model_dump(mode="json").items()],
        key="metrics",
        description=f"Figures of {metrics.run}",
    )
    finish(store, results, metrics)


def _validation(store: Store, catalog: Catalog) -> str:
    lines = [
        f"{catalog.manifest.rows} of {catalog.n_rows} rows passed.",
        f"The whole report: `{store.path(catalog.docs)}/index.html`",
        "",
        "| check | column | failed rows | |",
        "| --- | --- | ---: | --- |",
        *(
            f"| {check.name} | {check.column} | {check.failed} | {'passed' if check.passed else 'FAILED'} |"
            for check in catalog.checks
        ),
    ]
    return "\n".join(lines)


def _outcomes(store: Store, results: Results) -> list[dict[str, object]]:
    """Rows of the run's ledger by status and reason."""
    ledger = store.read_table(results.ledger.table.path, columns=["status", "reason"])
    counts = ledger.group_by(["status", "reason"]).aggregate([([], "count_all")]).sort_by("status").to_pylist()
    return [
        {
            "status": row["status"],
            "rows": row["count_all"],
            "reason": row["reason"] or "",
            "meaning": MEANING[Reason(row["reason"])][1] if row["reason"] else "",
        }
        for row in counts
    ]
