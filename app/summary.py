"""What a run prints when it is done: a table, and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    # It brings scikit-learn with it, and the command line is to start at once.
    from vitrine.runs import RunMetrics


def print_summary(console: Console, metrics: RunMetrics, commands: Mapping[str, str]) -> None:
    """Print the figures of a run, its place, and the commands that open its pages."""
    console.print(_table(metrics))
    console.print(f"MLflow run  {metrics.mlflow_run_id}", highlight=False)
    console.print(f"Store       {metrics.store}", soft_wrap=True, highlight=False)
    console.print(f"Run         {metrics.store}/runs/{metrics.run}", soft_wrap=True, highlight=False)
    for program, command in commands.items():
        console.print(f"\nOpen {program}:\n  {command}", soft_wrap=True, highlight=False)


def _table(metrics: RunMetrics) -> Table:
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for section in _sections(metrics):
        for name, value in section:
            table.add_row(name, value)
        table.add_section()
    return table


def _sections(metrics: RunMetrics) -> list[list[tuple[str, str]]]:
    return [
        [
            ("rows in", str(metrics.rows_in)),
            ("rows ok", str(metrics.rows_ok)),
            ("rows failed", str(metrics.rows_failed)),
            ("rows quarantined", str(metrics.rows_quarantined)),
        ],
        [
            ("images extracted now", str(metrics.images_extracted)),
            ("images reused", str(metrics.images_reused)),
            ("images per second", _figure(metrics.images_per_second, 1)),
        ],
        [
            ("embedding size", str(metrics.embedding_dim)),
            ("after PCA", str(metrics.pca_dim)),
            ("explained variance", _figure(metrics.explained_variance)),
            ("clusters", str(metrics.clusters)),
            ("cluster purity", _figure(metrics.cluster_purity)),
        ],
        [
            ("item hit@1", _figure(metrics.item_hit_at_1)),
            ("item hit@5", _figure(metrics.item_hit_at_5)),
            ("label precision@1", _figure(metrics.label_precision_at_1)),
            ("label precision@5", _figure(metrics.label_precision_at_5)),
            ("label precision@10", _figure(metrics.label_precision_at_10)),
            ("probe accuracy", _figure(metrics.probe_accuracy)),
            *((f"R2 of {_predicted(metrics, target)}", _figure(r2)) for target, r2 in metrics.r2.items()),
        ],
    ]


def _predicted(metrics: RunMetrics, target: str) -> str:
    return f"log {target}" if metrics.target_transforms[target] == "log" else target


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
