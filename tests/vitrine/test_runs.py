"""Runs: one folder per content, and the newest whole one of a store."""

from datetime import UTC, datetime, timedelta

import pytest

from vitrine.config import (
    CatalogConfig,
    ClusteringConfig,
    DownloadConfig,
    EncoderConfig,
    EvaluationConfig,
    IndexConfig,
    ReductionConfig,
    RunConfig,
    Target,
)
from vitrine.errors import RunError
from vitrine.refs import Ref
from vitrine.results import EncoderInfo
from vitrine.runs import RunRecord, newest_run, run_folder
from vitrine.store import Store

CATALOG = CatalogConfig(path="cars.csv", label="make", targets=(Target(column="price"),))
CONFIG = RunConfig(catalog=CATALOG)
ENCODER = EncoderInfo(name="efficientnet_lite0", fingerprint="f" * 64, dim=1280)


def changed(**updates):
    return CONFIG.model_copy(update=updates)


def folder(config=CONFIG, name="cars", digest="d" * 64, encoder=ENCODER):
    return run_folder(config, name, digest, encoder)


def test_a_run_is_named_after_catalog_and_encoder():
    assert folder().startswith("runs/cars-efficientnet_lite0-")
    assert folder(encoder=ENCODER.model_copy(update={"name": "a/b-c"})).startswith("runs/cars-a-b-c-")
    assert folder() == folder()


@pytest.mark.parametrize(
    "config",
    [
        changed(store="s3://bucket/elsewhere"),
        changed(shard_size=7),
        changed(encoder=EncoderConfig(device="cuda", batch_size=9)),
        changed(encoder=EncoderConfig(checkpoint="same-weights.pth")),
        changed(download=DownloadConfig(concurrency=2, timeout_seconds=3)),
        changed(catalog=CATALOG.model_copy(update={"path": "/moved/cars.csv"})),
    ],
)
def test_how_it_is_done_and_where_changes_nothing(config):
    assert config != CONFIG
    assert folder(config) == folder()


@pytest.mark.parametrize(
    "different",
    [
        folder(changed(catalog=CATALOG.model_copy(update={"label": "model"}))),
        folder(changed(catalog=CATALOG.model_copy(update={"label": None}))),
        folder(changed(catalog=CATALOG.model_copy(update={"targets": ()}))),
        folder(changed(catalog=CATALOG.model_copy(update={"item_column": "sku"}))),
        folder(changed(reduction=ReductionConfig(n_components=64))),
        folder(changed(reduction=ReductionConfig(n_components=0.95))),
        folder(changed(clustering=ClusteringConfig(n_clusters=3))),
        folder(changed(index=IndexConfig(metric="euclidean"))),
        folder(changed(evaluation=EvaluationConfig(n_folds=3))),
        folder(changed(aggregation="max")),
        folder(changed(seed=1)),
        folder(digest="e" * 64),
        folder(encoder=ENCODER.model_copy(update={"fingerprint": "f" * 63 + "e"})),
        folder(name="vans"),
    ],
)
def test_what_decides_the_content_changes_the_folder(different):
    assert different != folder()


def record(name, finished_at):
    nothing = Ref(path="a", digest="0" * 64, rows=1)
    return RunRecord(
        name=name,
        finished_at=finished_at,
        config=CONFIG,
        encoder=ENCODER,
        images=nothing,
        pca=nothing,
        index=nothing,
    )


@pytest.mark.parametrize("root", ["{tmp_path}/store", "memory://{tmp_path}"])
def test_the_newest_run_is_the_one_that_finished_last(root, tmp_path):
    store, noon = Store(root.format(tmp_path=tmp_path)), datetime(2025, 7, 1, 12, tzinfo=UTC)
    for name, hours in (("b", 2), ("c", 9), ("a", 4)):
        made = record(name, noon + timedelta(hours=hours))
        store.write_bytes(f"runs/{name}/run.json", made.model_dump_json().encode())
    store.write_bytes("runs/d/ledger.parquet", b"of a run that has not finished")
    store.write_bytes("runs/e.txt", b"a stray file")
    assert newest_run(store) == record("c", noon + timedelta(hours=9))
    store.filesystem.rm(store.path(""), recursive=True)


def test_a_store_without_a_finished_run(tmp_path):
    store = Store(str(tmp_path / "store"))
    way_out = rf"{store.root}: holds no finished run\. Make one with: vitrine run CATALOG --store {store.root}"
    with pytest.raises(RunError, match=way_out):
        newest_run(store)
    store.write_bytes("runs/d/ledger.parquet", b"of a run that has not finished")
    with pytest.raises(RunError, match=way_out):
        newest_run(store)


def test_only_the_newest_record_must_be_readable(tmp_path):
    store = Store(str(tmp_path))
    store.write_bytes("runs/old/run.json", b'{"finished_at": "2020-01-01T00:00:00Z", "of": "another version"}')
    with pytest.raises(RunError, match=r"runs/old: was made by another version of Vitrine\. Run its catalog again"):
        newest_run(store)
