"""The command line. Heavy libraries are imported by the command that needs them, so that --help is quick."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from app import options
from app.embedded import quiet_logs, server_commands, use_store
from app.summary import print_summary
from vitrine import config as cfg
from vitrine.errors import RunError, VitrineError
from vitrine.store import Store

if TYPE_CHECKING:
    from vitrine.runs import RunMetrics

app = typer.Typer(
    name="vitrine",
    help="Turns a catalog of product images into features that are searched, clustered, compared and served.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
FAILED, USAGE = 1, 2

StoreOption = Annotated[str, typer.Option(help="Root folder of the store, or an fsspec URL.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, alone on standard output.")]


@app.command()
def run(
    catalog: Annotated[
        str,
        typer.Argument(metavar="CATALOG", help="The manifest: a .csv, .parquet or .jsonl file with a row per image."),
    ],
    store: StoreOption = "vitrine-store",
    encoder: Annotated[str, typer.Option(help="An encoder of 'vitrine encoders', or any timm model's name.")] = (
        "efficientnet_lite0"
    ),
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Local weights: safetensors or a state dict.", dir_okay=False, exists=True),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps; without it the best there is.")] = None,
    pca: Annotated[str, typer.Option(help="Components to keep: a number, or a share of variance (0.95).")] = "256",
    clusters: Annotated[int, typer.Option(help="Number of clusters.", min=1)] = 20,
    metric: Annotated[cfg.Metric, typer.Option(help="How nearness is measured.")] = "cosine",
    aggregate: Annotated[cfg.Aggregation, typer.Option(help="How the images of an item become one vector.")] = "mean",
    label: Annotated[str | None, typer.Option(help="Column with the product's class.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Numeric column to predict, as COLUMN or COLUMN:MIN:MAX. Repeatable.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="What a column means: item_id=, image= or date=COLUMN. Repeatable."),
    ] = None,
    max_bad_fraction: Annotated[
        float, typer.Option(help="Refuse the manifest above this share of bad rows.", min=0, max=1)
    ] = 0.5,
    shard_size: Annotated[int, typer.Option(help="Images per extraction task.", min=1)] = 512,
    batch_size: Annotated[int, typer.Option(help="Images per forward pass.", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Seed of everything that draws at random.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Run the whole pipeline on a catalog: validate, download, extract, reduce, cluster, index, evaluate, log.

    Run the same command again to resume it: only what is missing is computed.

    [bold]Examples[/bold]

      vitrine run cars.csv --label make --target price --column image=url

      vitrine run sample_catalog/catalog.csv --label product_type --target height_cm --json
    """
    _require_file(catalog)
    run_config = cfg.RunConfig(
        catalog=cfg.CatalogConfig(
            path=catalog,
            label=label,
            targets=tuple(options.parse_target(text) for text in target or []),
            max_bad_fraction=max_bad_fraction,
        ).model_copy(update=options.parse_columns(column or [])),
        store=store,
        encoder=cfg.EncoderConfig(
            name=encoder, checkpoint=str(checkpoint) if checkpoint else None, device=device, batch_size=batch_size
        ),
        shard_size=shard_size,
        aggregation=aggregate,
        reduction=cfg.ReductionConfig(n_components=options.parse_components(pca)),
        clustering=cfg.ClusteringConfig(n_clusters=clusters),
        index=cfg.IndexConfig(metric=metric),
        seed=seed,
    )
    metrics = _run_flow(run_config)
    if as_json:
        typer.echo(metrics.model_dump_json(indent=2))
    else:
        print_summary(Console(), metrics, server_commands(Store(store)))


@app.command()
def search(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="A picture: JPEG, PNG, WebP …", exists=True, dir_okay=False)
    ],
    store: StoreOption = "vitrine-store",
    k: Annotated[int, typer.Option(help="How many images to find.", min=1)] = 10,
    as_json: JsonOption = False,
) -> None:
    """Find the images of the store's newest run that are most like a picture.

    [bold]Example[/bold]

      vitrine search photo.jpg --k 5
    """
    from vitrine.runs import newest_run
    from vitrine.search import search_run

    record = newest_run(Store(store))
    with contextlib.redirect_stdout(sys.stderr):
        matches = search_run(Store(store), record, image, k)
    if as_json:
        typer.echo(json.dumps([match.model_dump() for match in matches], indent=2))
        return
    table = Table(title=f"{image} in {record.name}", title_justify="left")
    for heading in ("rank", "item", "image", "score"):
        table.add_column(heading, justify="right" if heading in ("rank", "score") else "left")
    for match in matches:
        table.add_row(str(match.rank), match.item_id, match.image, f"{match.score:.4f}")
    Console().print(table)


@app.command()
def encoders(as_json: JsonOption = False) -> None:
    """List the encoders that Vitrine knows by name. Any timm model's name works, too."""
    from vitrine.encoders.zoo import ZOO

    if as_json:
        typer.echo(json.dumps([entry.model_dump() | {"source": entry.source} for entry in ZOO], indent=2))
        return
    table = Table(title="Encoders", title_justify="left")
    for heading in ("name", "size", "input", "weights", "licence", "notes"):
        table.add_column(heading)
    for entry in ZOO:
        table.add_row(entry.name, str(entry.dim), str(entry.input_size), entry.source, entry.licence, entry.notes)
    Console().print(table)


def main() -> None:
    """Run the command line. Exits with 1 when the work failed, with 2 for wrong usage."""
    try:
        app()
    except VitrineError as error:
        typer.echo(f"vitrine: {error}", err=True)
        sys.exit(FAILED)


def _run_flow(config: cfg.RunConfig) -> "RunMetrics":
    """Run the flow with embedded defaults. Whatever libraries print meanwhile is kept out of what a script reads."""
    use_store(Store(config.store))
    with contextlib.redirect_stdout(sys.stderr):
        from flows.catalog_features import catalog_features

        quiet_logs()
        try:
            return catalog_features(config)
        except VitrineError:
            raise
        # Any other error is Prefect's, MLflow's or a defect, and Prefect has logged its traceback.
        except Exception as error:
            raise RunError(f"the run failed: {type(error).__name__}: {error}. The log has the traceback") from error


def _require_file(catalog: str) -> None:
    if "://" not in catalog and not Path(catalog).is_file():
        raise typer.BadParameter(f"{catalog}: no such file", param_hint="CATALOG")
