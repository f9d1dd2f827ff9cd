"""Search over a small run that is built by hand, with the real encoder."""

import shutil
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from vitrine import schemas
from vitrine.config import CatalogConfig, EncoderConfig, IndexConfig, ReductionConfig, RunConfig
from vitrine.errors import ImageError, RunError, StoreError
from vitrine.extraction import embed_file
from vitrine.features import vector_column
from vitrine.index import build_index, dump_index
from vitrine.models import dump_model
from vitrine.reduction import apply_pca, fit_pca
from vitrine.results import EncoderInfo
from vitrine.runs import RunRecord
from vitrine.search import search_run
from vitrine.store import Store, digest_of

N = 10


@pytest.fixture(scope="module")
def features(encoder, pictures):
    return np.stack([embed_file(encoder, path) for path in pictures[:N]])


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture
def make_run(store, encoder, pictures, features):
    def make(metric="cosine"):
        config = RunConfig(
            catalog=CatalogConfig(path="catalog.csv"),
            encoder=EncoderConfig(device="cpu"),
            reduction=ReductionConfig(n_components=6),
            index=IndexConfig(metric=metric),
        )
        pca = fit_pca(features, config.reduction, seed=0)
        vectors = apply_pca(pca, features)
        images = pa.Table.from_arrays(
            [
                pa.array(range(1, N + 1), pa.int64()),
                pa.array([path.stem.split("_")[0] for path in pictures[:N]]),
                pa.array([f"images/{path.name}" for path in pictures[:N]]),
                pa.array([digest_of(path.read_bytes()) for path in pictures[:N]]),
                vector_column(vectors),
            ],
            schema=schemas.image_vectors(6),
        )
        return RunRecord(
            name="by-hand",
            finished_at=datetime.now(UTC),
            config=config,
            encoder=EncoderInfo(name=encoder.name, fingerprint=encoder.fingerprint, dim=encoder.dim),
            images=store.write_table("runs/by-hand/pca/images.parquet", images),
            pca=store.write_bytes("runs/by-hand/pca/pca.skops", dump_model(pca)),
            index=store.write_bytes("runs/by-hand/index/images.faiss", dump_index(build_index(vectors, metric))),
        )

    return make


@pytest.mark.parametrize(("metric", "best"), [("cosine", 1), ("euclidean", 0)])
def test_an_image_of_the_catalog_finds_itself(store, make_run, pictures, metric, best):
    run = make_run(metric)
    for path in pictures[:3]:
        matches = search_run(store, run, path, k=4)
        assert [match.rank for match in matches] == [1, 2, 3, 4]
        assert (matches[0].item_id, matches[0].image) == (path.stem.split("_")[0], f"images/{path.name}")
        assert matches[0].score == pytest.approx(best, abs=1e-3)
        scores = [match.score for match in matches]
        assert scores == sorted(scores, reverse=True)
        assert scores[1] < best - 1e-3


def test_a_picture_from_elsewhere_finds_what_is_like_it(store, make_run, pictures, tmp_path):
    with Image.open(pictures[4]) as image:
        image.resize((300, 300)).save(tmp_path / "photo.webp", quality=60)
    assert search_run(store, make_run(), tmp_path / "photo.webp", k=1)[0].image == f"images/{pictures[4].name}"


def test_all_are_found_where_there_are_fewer(store, make_run, pictures):
    matches = search_run(store, make_run(), pictures[N], k=1000)
    assert {match.image for match in matches} == {f"images/{path.name}" for path in pictures[:N]}
    assert len(matches) == N


@pytest.mark.parametrize("part", ["index", "pca", "images"])
def test_a_file_of_the_run_that_has_changed_or_gone(store, make_run, pictures, part):
    run = make_run()
    ref = getattr(run, part)
    data = store.read_bytes(ref.path)
    store.write_bytes(ref.path, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreError, match=f"{ref.path} has changed since its run"):
        search_run(store, run, pictures[0], k=3)
    store.remove(ref.path)
    with pytest.raises(StoreError, match=f"{ref.path} is gone"):
        search_run(store, run, pictures[0], k=3)


def test_a_run_of_other_weights(store, make_run, pictures):
    run = make_run()
    other = run.model_copy(update={"encoder": run.encoder.model_copy(update={"fingerprint": "0" * 64})})
    with pytest.raises(
        RunError, match=r"by-hand: was made with other weights of 'efficientnet_lite0' \(000000000000, not"
    ):
        search_run(store, other, pictures[0], k=3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(None, "not_found"), (b"", "empty"), (b"no picture", "not_an_image"), (b"\xff\xd8\xff cut off", "load_failed")],
)
def test_a_picture_that_cannot_be_read(store, make_run, tmp_path, data, reason):
    picture = tmp_path / "photo.jpg"
    if data is not None:
        picture.write_bytes(data)
    with pytest.raises(ImageError) as raised:
        search_run(store, make_run(), picture, k=3)
    assert raised.value.reason == reason
    assert str(picture) in str(raised.value)


def test_the_images_themselves_are_not_needed(store, make_run, pictures):
    run = make_run()
    shutil.rmtree(f"{store.root}/images", ignore_errors=True)
    assert search_run(store, run, pictures[0], k=1)
