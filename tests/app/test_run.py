"""`vitrine run`, as a user runs it."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from tests.catalogs import ROOT, Vitrine, read_rows, write_catalog

KEYS = {
    "rows_in", "rows_ok", "rows_failed", "rows_quarantined", "images_extracted", "images_reused", "images_per_second",
    "embedding_dim", "pca_dim", "explained_variance", "item_hit_at_1", "item_hit_at_5", "label_precision_at_1",
    "label_precision_at_5", "label_precision_at_10", "probe_accuracy", "r2", "store", "run", "mlflow_run_id",
}  # fmt: skip


def reasons(metrics: dict[str, Any]) -> dict[int, tuple[str, str | None]]:
    """Status and reason by catalog row."""
    table = pq.read_table(Path(metrics["store"], "runs", metrics["run"], "ledger.parquet"))
    return {row["catalog_row"]: (row["status"], row["reason"]) for row in table.to_pylist()}


def said(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What Vitrine itself had to say, beside the log."""
    return [line.removeprefix("vitrine: ") for line in run.stderr.splitlines() if line.startswith("vitrine: ")]


@pytest.fixture(scope="session")
def sample_run(vitrine: Vitrine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The whole sample catalog, in a store of its own."""
    store = tmp_path_factory.mktemp("sample") / "store"
    run = vitrine(
        "run", "sample_catalog/catalog.csv", "--store", store, "--label", "product_type",
        "--column", "date=listed_on", "--target", "height_cm", "--json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    metrics: dict[str, Any] = json.loads(run.stdout)
    return metrics


def test_sample_reaches_its_figures(sample_run: dict[str, Any]) -> None:
    assert sample_run.keys() >= KEYS
    assert (sample_run["rows_in"], sample_run["rows_ok"]) == (1504, 1504)
    assert (sample_run["rows_failed"], sample_run["rows_quarantined"]) == (0, 0)
    assert (sample_run["embedding_dim"], sample_run["pca_dim"]) == (1280, 256)
    assert sample_run["item_hit_at_1"] >= 0.80
    assert sample_run["label_precision_at_1"] >= 0.74
    assert sample_run["probe_accuracy"] >= 0.79
    assert sample_run["r2"]["height_cm"] >= 0.55
    assert sample_run["images_per_second"] > 0


def test_sample_run_is_laid_out_as_told(sample_run: dict[str, Any]) -> None:
    run = Path(sample_run["store"], "runs", sample_run["run"])
    assert json.loads((run / "metrics.json").read_text()) == sample_run
    for name in ("manifest", "quarantine", "ledger", "items", "pca/images", "pca/items", "clusters/images"):
        assert pq.read_metadata(run / f"{name}.parquet").num_columns > 0
    for name in ("scree", "cluster_sizes", "cluster_000", "neighbors"):
        assert (run / f"plots/{name}.png").read_bytes().startswith(b"\x89PNG")
    neighbors = pq.read_table(run / "index/neighbors.parquet")
    assert neighbors.num_rows == 1504 * 10


def test_sample_run_is_in_mlflow(sample_run: dict[str, Any]) -> None:
    client = MlflowClient(f"sqlite:///{sample_run['store']}/mlflow.db")
    run = client.get_run(sample_run["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["encoder"] == "efficientnet_lite0"
    assert run.data.metrics["item_hit_at_1"] == pytest.approx(sample_run["item_hit_at_1"])
    assert run.data.metrics["r2_height_cm"] == pytest.approx(sample_run["r2"]["height_cm"])
    assert run.inputs.dataset_inputs[0].dataset.name == "sample_catalog"
    assert run.data.tags["vitrine.catalog_digest"].startswith(run.inputs.dataset_inputs[0].dataset.digest)
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"plots", "validation", "metrics.json", "failures.json", "ledger.parquet"} <= artifacts
    models = client.search_logged_models([run.info.experiment_id])
    assert {model.name for model in models} == {"pca", "kmeans"}

    # And back: the Prefect run of this id has an artifact that leads to the MLflow run.
    with sqlite3.connect(f"{sample_run['store']}/prefect.db") as database:
        flow_run = run.data.tags["prefect.flow_run_id"]
        links = database.execute(
            "select data from artifact where key = 'mlflow-run' and flow_run_id = ?", [flow_run]
        ).fetchall()
        state = database.execute("select state_type from flow_run where id = ?", [flow_run]).fetchone()
    assert len(links) == 1
    assert run.info.run_id in links[0][0]
    assert state == ("COMPLETED",)


def test_same_command_again_extracts_nothing(vitrine: Vitrine, sample_run: dict[str, Any]) -> None:
    again = vitrine(
        "run", "sample_catalog/catalog.csv", "--store", sample_run["store"], "--label", "product_type",
        "--column", "date=listed_on", "--target", "height_cm", "--json",
    )  # fmt: skip
    metrics = json.loads(again.stdout)
    assert metrics["images_extracted"] == 0
    assert metrics["images_reused"] == sample_run["images_extracted"]
    assert metrics["run"] == sample_run["run"]
    assert metrics["mlflow_run_id"] != sample_run["mlflow_run_id"]
    for key in ("item_hit_at_1", "probe_accuracy", "r2", "explained_variance"):
        assert metrics[key] == sample_run[key]
    assert "Cached" in again.stderr


def test_search_finds_the_product(vitrine: Vitrine, sample_run: dict[str, Any]) -> None:
    image = "sample_catalog/images/SH0030_2.jpg"
    found = vitrine("search", image, "--store", sample_run["store"], "--k", "4", "--json")
    matches = json.loads(found.stdout)
    assert [match["rank"] for match in matches] == [1, 2, 3, 4]
    assert matches[0]["image"] == "images/SH0030_2.jpg"
    assert matches[0]["score"] == pytest.approx(1, abs=1e-4)
    assert [match["item_id"] for match in matches[:3]] == ["SH0030"] * 3
    assert matches[0].keys() == {"rank", "item_id", "image", "score"}

    table = vitrine("search", image, "--store", sample_run["store"], "--k", "1")
    assert "SH0030" in table.stdout


def test_search_for_what_is_no_picture(vitrine: Vitrine, sample_run: dict[str, Any]) -> None:
    found = vitrine("search", "pyproject.toml", "--store", sample_run["store"])
    assert found.returncode == 1
    assert "pyproject.toml" in found.stderr
    assert "Traceback" not in found.stderr


def test_every_bad_row_has_its_reason_and_the_others_go_on(vitrine: Vitrine, small_catalog: Path) -> None:
    rows = read_rows(small_catalog)
    folder = small_catalog.parent
    (folder / "images/corrupt.jpg").write_bytes((folder / rows[0]["image"]).read_bytes()[:2000])
    (folder / "images/page.jpg").write_text("<!doctype html><title>Not found</title>")
    bad = [
        rows[0] | {"image": "images/missing.jpg"},
        rows[0] | {"image": "images/corrupt.jpg"},
        rows[0] | {"image": "images/page.jpg"},
        rows[1] | {"item_id": ""},
        rows[2],
    ]
    write_catalog(folder, rows + bad)
    store = folder.parent / "store"
    arguments = ("--store", store, "--label", "product_type", "--target", "height_cm", "--clusters", "3", "--json")

    run = vitrine("run", small_catalog, *arguments)

    assert run.returncode == 0, run.stderr
    metrics = json.loads(run.stdout)
    assert metrics["rows_in"] == len(rows) + 5
    assert (metrics["rows_ok"], metrics["rows_failed"], metrics["rows_quarantined"]) == (len(rows), 3, 2)
    outcomes = reasons(metrics)
    assert [outcomes[len(rows) + number] for number in range(1, 6)] == [
        ("failed", "not_found"),
        ("failed", "load_failed"),
        ("failed", "not_an_image"),
        ("quarantined", "null_item_id"),
        ("quarantined", "duplicate_row"),
    ]
    assert all(outcomes[number] == ("ok", None) for number in range(1, len(rows) + 1))

    # A missing file that turns up is taken in by the same command, and it alone is extracted.
    (folder / "images/missing.jpg").write_bytes((ROOT / "sample_catalog/images/SH0100_0.jpg").read_bytes())
    metrics = json.loads(vitrine("run", small_catalog, *arguments).stdout)
    assert (metrics["rows_ok"], metrics["rows_failed"], metrics["images_extracted"]) == (len(rows) + 1, 2, 1)


def test_killed_extraction_goes_on_where_it_was(
    vitrine: Vitrine,
    vitrine_command: list[str],
    environment: dict[str, str],
    sample_rows: list[dict[str, str]],
    tmp_path: Path,
) -> None:
    """SIGKILL to the run and its temporary Prefect server at once, as when the machine goes down."""
    rows = sample_rows[:400]
    (tmp_path / "images").mkdir()
    for row in rows:
        (tmp_path / row["image"]).write_bytes((ROOT / "sample_catalog" / row["image"]).read_bytes())
    catalog, store = write_catalog(tmp_path, rows), tmp_path / "store"
    arguments = ["run", str(catalog), "--store", str(store), "--shard-size", "32", "--batch-size", "8", "--json"]
    process = subprocess.Popen(
        vitrine_command + arguments, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 180
        while len(list(store.glob("features/*/*.parquet"))) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = sum(pq.read_metadata(path).num_rows for path in store.glob("features/*/*.parquet"))
    assert not list(store.glob("runs/*/run.json"))

    run = vitrine(*arguments)

    assert run.returncode == 0, run.stderr
    metrics = json.loads(run.stdout)
    n_images = len(list(store.glob("images/*/*/*")))
    assert 3 * 32 <= before < n_images
    assert (metrics["images_reused"], metrics["images_extracted"]) == (before, n_images - before)
    assert metrics["rows_ok"] == 400
    stored = [sha for path in store.glob("features/*/*.parquet") for sha in pq.read_table(path)["sha256"].to_pylist()]
    assert len(stored) == len(set(stored)) == n_images


def test_tiny_catalog_without_labels(vitrine: Vitrine, small_catalog: Path, tmp_path: Path) -> None:
    """Two images, no label, no target: what cannot be told is null, and the run is good."""
    rows = [{"sku": row["item_id"], "url": row["image"]} for row in read_rows(small_catalog)[:2]]
    write_catalog(small_catalog.parent, rows)
    store = tmp_path / "store"
    run = vitrine("run", small_catalog, "--store", store, "--column", "item_id=sku", "--column", "image=url")
    assert run.returncode == 0, run.stderr

    (record,) = store.glob("runs/*/metrics.json")
    metrics = json.loads(record.read_text())
    assert metrics["rows_ok"] == 2
    assert metrics["label_precision_at_1"] is None
    assert metrics["probe_accuracy"] is None
    assert metrics["r2"] == {}

    shown = run.stdout
    assert re.search(r"rows in +│ +2 ", shown)
    assert re.search(r"probe accuracy +│ +- ", shown)
    assert metrics["mlflow_run_id"] in shown
    assert f"mlflow ui --backend-store-uri sqlite:///{store}/mlflow.db" in shown
    assert f"PREFECT_SERVER_DATABASE_CONNECTION_URL=sqlite+aiosqlite:///{store}/prefect.db" in shown


def test_a_broken_manifest_is_one_clear_line(vitrine: Vitrine, small_catalog: Path, tmp_path: Path) -> None:
    rows = [{"id": row["item_id"], "url": row["image"]} for row in read_rows(small_catalog)]
    write_catalog(small_catalog.parent, rows)
    run = vitrine("run", small_catalog, "--store", tmp_path / "store", "--column", "item_id=id")
    assert run.returncode == 1
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert said(run) == [f"{small_catalog}: column 'image' is missing (found: id, url). Map it with --column image=url"]


def test_an_encoder_without_weights_ends_before_anything_is_downloaded(
    vitrine: Vitrine, small_catalog: Path, tmp_path: Path
) -> None:
    run = vitrine("run", small_catalog, "--store", tmp_path / "store", "--encoder", "no_such_encoder")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert len(said(run)) == 1
    assert "encoder 'no_such_encoder' is unknown" in said(run)[0]
    assert not (tmp_path / "store/images").exists()


def test_a_store_that_is_a_file_is_one_clear_line(vitrine: Vitrine, small_catalog: Path) -> None:
    run = vitrine("run", small_catalog, "--store", small_catalog)
    assert run.returncode == 1
    assert said(run) == [f"{small_catalog}: cannot be a store: File exists. Give another folder with --store"]


def test_a_store_elsewhere_needs_a_tracking_server(vitrine: Vitrine, small_catalog: Path) -> None:
    run = vitrine("run", small_catalog, "--store", "memory://elsewhere")
    assert run.returncode == 1
    assert len(said(run)) == 1
    assert "Set MLFLOW_TRACKING_URI to the address of an MLflow server" in said(run)[0]
    assert "load encoder" not in run.stderr
