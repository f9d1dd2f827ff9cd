"""Feature tables and files, and one vector per item."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrine import schemas
from vitrine.features import (
    Held,
    aggregate,
    feature_folder,
    feature_table,
    held_features,
    is_final,
    read_features,
    vector_column,
    vectors_of,
)
from vitrine.reasons import Reason
from vitrine.store import Store, digest_of

DIM = 3
FOLDER = "features/encoder-0123456789ab"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def rows(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def digests(n):
    return [digest_of(str(number).encode()) for number in range(n)]


def table_of(vectors, sha256s=None):
    """A feature table of vectors and, in their place, reasons."""
    reasons = [vector if isinstance(vector, Reason) else None for vector in vectors]
    return feature_table(
        DIM,
        sha256s or digests(len(vectors)),
        [None if reason else vector for vector, reason in zip(vectors, reasons, strict=True)],
        reasons,
        [f"about {reason}" if reason else None for reason in reasons],
    )


MIXED = [Reason.LOAD_FAILED, *rows(2), Reason.EXTRACTION_ERROR, *rows(1, seed=1), Reason.NOT_FOUND]
FAILED = [0, 3, 5]


def check_mixed(table):
    assert table.schema.equals(schemas.features(DIM))
    assert table["sha256"].to_pylist() == digests(6)
    assert table["status"].to_pylist() == ["failed", "ok", "ok", "failed", "ok", "failed"]
    assert table["reason"].to_pylist() == ["load_failed", None, None, "extraction_error", None, "not_found"]
    assert table["detail"].to_pylist()[0] == "about load_failed"
    assert table["detail"].null_count == 3
    vectors = vectors_of(table["feature"])
    assert (vectors.shape, vectors.dtype) == ((6, DIM), np.float32)
    assert np.isnan(vectors[FAILED]).all()
    np.testing.assert_array_equal(vectors[[1, 2, 4]], np.concatenate([rows(2), rows(1, seed=1)]))


def test_a_table_of_features_and_failures():
    check_mixed(table_of(MIXED))


def test_a_file_of_features_and_failures_can_be_read_back(store, tmp_path):
    store.write_table("a.parquet", table_of(MIXED))
    check_mixed(store.read_table("a.parquet"))
    check_mixed(pq.read_table(tmp_path / "store" / "a.parquet"))
    assert len(pd.read_parquet(tmp_path / "store" / "a.parquet")) == 6


def test_a_file_of_failures_alone(store):
    store.write_table("a.parquet", table_of([Reason.LOAD_FAILED] * 3))
    assert np.isnan(vectors_of(store.read_table("a.parquet")["feature"])).all()


@pytest.mark.parametrize(("start", "length"), [(0, 10), (3, 4), (9, 1), (4, 0), (10, 5)])
def test_vectors_of_a_sliced_column(start, length):
    vectors = rows(10)
    column = pa.chunked_array([vector_column(vectors[:4]), vector_column(vectors[4:])])
    np.testing.assert_array_equal(vectors_of(column.slice(start, length)), vectors[start : start + length])
    one_chunk = pa.chunked_array([vector_column(vectors)])
    np.testing.assert_array_equal(vectors_of(one_chunk.slice(start, length)), vectors[start : start + length])
    filtered = one_chunk.filter(pa.array([number % 2 == 0 for number in range(10)]))
    np.testing.assert_array_equal(vectors_of(filtered), vectors[::2])


def test_vectors_of_an_empty_column():
    assert vectors_of(pa.chunked_array([], type=schemas.vector(DIM))).shape == (0, DIM)
    assert vectors_of(pa.chunked_array([vector_column(rows(0))])).shape == (0, DIM)


@pytest.mark.parametrize("vectors", [rows(5), rows(10)[::2], np.asfortranarray(rows(5)), rows(5)[:, ::-1]])
def test_vector_column_takes_every_layout(vectors):
    column = vector_column(vectors)
    assert column.type == schemas.vector(DIM)
    np.testing.assert_array_equal(vectors_of(pa.chunked_array([column])), vectors)


def test_features_are_read_in_the_order_asked_for(store):
    images, vectors = digests(9), rows(9)
    cuts = {"a.parquet": [4, 0, 8], "b.parquet": [1, 7], "c.parquet": [6, 3, 5, 2]}
    for file, numbers in cuts.items():
        store.write_table(file, table_of(vectors[numbers], [images[number] for number in numbers]))
    file_of = {number: file for file, numbers in cuts.items() for number in numbers}
    asked = [2, 0, 7, 0, 5, 8, 1, 2]
    read = read_features(store, [file_of[number] for number in asked], [images[number] for number in asked], DIM)
    np.testing.assert_array_equal(read, vectors[asked])
    assert read_features(store, [], [], DIM).shape == (0, DIM)


def test_features_beside_failures_are_read(store):
    store.write_table("a.parquet", table_of(MIXED))
    images = digests(6)
    read = read_features(store, ["a.parquet"] * 2, [images[4], images[1]], DIM)
    np.testing.assert_array_equal(read, np.stack([MIXED[4], MIXED[1]]))


@pytest.mark.parametrize("files", [("a", "b"), ("b", "a")])
def test_a_feature_wins_over_a_failure(store, files):
    both, good, bad, cut = digests(4)
    store.write_table(
        f"{FOLDER}/{files[0]}.parquet",
        table_of([Reason.EXTRACTION_ERROR, rows(1)[0], Reason.LOAD_FAILED], [both, good, cut]),
    )
    store.write_table(
        f"{FOLDER}/{files[1]}.parquet", table_of([rows(1)[0], Reason.EXTRACTION_ERROR, rows(1)[0]], [both, bad, good])
    )
    held = held_features(store, FOLDER)
    assert held[both] == Held(f"{FOLDER}/{files[1]}.parquet", None, None)
    assert held[good].reason is None
    assert held[bad] == Held(f"{FOLDER}/{files[1]}.parquet", "extraction_error", "about extraction_error")
    assert held[cut] == Held(f"{FOLDER}/{files[0]}.parquet", "load_failed", "about load_failed")
    assert len(held) == 4


def test_a_folder_that_is_not_there_holds_nothing(store):
    assert held_features(store, FOLDER) == {}


def test_what_is_final():
    assert is_final(None)
    assert [reason for reason in Reason if is_final(reason)] == [Reason.LOAD_FAILED]
    assert is_final("load_failed")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("efficientnet_lite0", "efficientnet_lite0"),
        ("vit_base_patch16_224.augreg", "vit_base_patch16_224.augreg"),
        ("models:/name@champion", "models--name-champion"),
        ("../../etc/a b", "..-..-etc-a-b"),
    ],
)
def test_a_feature_folder_has_a_safe_name(name, safe):
    assert feature_folder(name, "0123456789abcdef") == f"features/{safe}-0123456789ab"


ITEMS = ["b", "a", "b", "c", "a", "b"]


@pytest.mark.parametrize(
    ("method", "of"),
    [("mean", lambda own: own.mean(axis=0)), ("max", lambda own: own.max(axis=0)), ("first", lambda own: own[0])],
)
@pytest.mark.parametrize("item_ids", [ITEMS, sorted(ITEMS), ["a"] * 6, list("fedcba")])
def test_aggregate(method, of, item_ids):
    features = rows(6)
    names, vectors, counts = aggregate(features, item_ids, method)
    assert names == list(dict.fromkeys(item_ids))
    assert counts.tolist() == [item_ids.count(name) for name in names]
    assert (vectors.dtype, counts.dtype) == (np.float32, np.int32)
    for name, vector in zip(names, vectors, strict=True):
        own = features[[item_id == name for item_id in item_ids]]
        np.testing.assert_allclose(vector, of(own.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize("method", ["mean", "max", "first"])
def test_aggregate_nothing(method):
    names, vectors, counts = aggregate(rows(0), [], method)
    assert (names, vectors.shape, counts.shape) == ([], (0, DIM), (0,))
    assert vectors.dtype == np.float32


def test_the_mean_of_many_is_exact():
    _, vectors, _ = aggregate(np.full((300_000, 2), 0.1, np.float32), ["a"] * 300_000, "mean")
    np.testing.assert_allclose(vectors, np.float32(0.1), rtol=1e-6)


def test_the_first_of_many_is_the_first():
    item_ids = [str(number) for number in np.random.default_rng(0).integers(0, 7, size=5000)]
    names, vectors, _ = aggregate(np.arange(5000, dtype=np.float32)[:, None], item_ids, "first")
    assert vectors[:, 0].tolist() == [item_ids.index(name) for name in names]
