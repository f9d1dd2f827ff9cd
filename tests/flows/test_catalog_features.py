"""The main flow itself, on a store that is no folder."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.catalog_features import catalog_features
from tests.catalogs import ROOT, read_rows, write_catalog
from vitrine.config import CatalogConfig, RunConfig
from vitrine.runs import newest_run
from vitrine.search import search_run
from vitrine.store import Store


@pytest.mark.usefixtures("prefect_server")
def test_the_store_may_be_any_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = read_rows(ROOT / "sample_catalog/catalog.csv")[:8]
    (tmp_path / "images").mkdir()
    for row in rows:
        (tmp_path / row["image"]).write_bytes((ROOT / "sample_catalog" / row["image"]).read_bytes())
    config = RunConfig(
        catalog=CatalogConfig(path=str(write_catalog(tmp_path, rows)), label="product_type"), store="memory://shop"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)  # where MLflow puts the artifacts of an experiment that names no place

    metrics = catalog_features(config)

    store = Store("memory://shop")
    assert (metrics.rows_ok, metrics.images_extracted, metrics.store) == (8, 8, "memory://shop")
    assert MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(metrics.mlflow_run_id).info.status == "FINISHED"
    (match, *_) = search_run(store, newest_run(store), tmp_path / rows[3]["image"], k=1)
    assert match.image == rows[3]["image"]
    assert catalog_features(config).images_extracted == 0

    # A cached download does not dangle: an image that the store has lost is fetched again.
    for name in store.walk("features") + store.walk("images")[:1]:
        store.remove(name)
    metrics = catalog_features(config)
    assert (metrics.rows_ok, metrics.images_extracted) == (8, 8)
