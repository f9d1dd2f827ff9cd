"""Extraction over real pictures; something stands in for the encoder only where time and order are the subject."""

import os
import random
import threading
import time
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from vitrine.errors import ImageError
from vitrine.extraction import Plan, Shard, ShardResult, embed, extract_shard, images_per_second, plan_shards
from vitrine.features import feature_table, held_features, vectors_of
from vitrine.images import decode_image
from vitrine.reasons import Reason
from vitrine.refs import Ref
from vitrine.store import Store, digest_of

FOLDER = "features/encoder-0123456789ab"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def digests(n):
    return sorted(digest_of(str(number).encode()) for number in range(n))


def hold(store, reasons, file="one"):
    """Write a feature file: a feature, or a reason, for each digest."""
    table = feature_table(
        dim=2,
        sha256s=list(reasons),
        vectors=[None if reason else np.ones(2, np.float32) for reason in reasons.values()],
        reasons=list(reasons.values()),
        details=[None] * len(reasons),
    )
    store.write_table(f"{FOLDER}/{file}.parquet", table)


class TestPlan:
    def test_shards_are_cut_from_sorted_content(self, store):
        images = digests(10)
        arrived = random.Random(3).sample(images * 2, 20)
        plan = plan_shards(store, FOLDER, iter(arrived), size=4)
        assert [list(shard.sha256s) for shard in plan.shards] == [images[:4], images[4:8], images[8:]]
        assert (plan.n_images, plan.n_reused) == (10, 0)
        assert plan == plan_shards(store, FOLDER, images, size=4)

    def test_a_shard_is_named_by_what_it_holds(self, store):
        images = digests(6)
        names = [shard.name for shard in plan_shards(store, FOLDER, images, size=2).shards]
        assert len(set(names)) == 3
        assert names == [shard.name for shard in plan_shards(store, FOLDER, images[::-1], size=2).shards]
        assert Shard(sha256s=tuple(images[:3])).name not in names

    def test_what_is_held_is_not_planned_again(self, store):
        images = digests(7)
        hold(store, dict.fromkeys([images[5], images[0], images[3]]))
        plan = plan_shards(store, FOLDER, images[:6], size=2)
        assert [shard.sha256s for shard in plan.shards] == [(images[1], images[2]), (images[4],)]
        assert (plan.n_images, plan.n_reused) == (3, 3)
        assert plan_shards(store, "features/other-0123456789ab", images, size=100).n_images == 7

    @pytest.mark.parametrize(
        ("reason", "again"),
        [(Reason.LOAD_FAILED, False), (Reason.EXTRACTION_ERROR, True), (Reason.NOT_FOUND, True)],
    )
    def test_a_failure_is_planned_again_if_that_may_help(self, store, reason, again):
        (image,) = digests(1)
        hold(store, {image: reason})
        assert plan_shards(store, FOLDER, [image], size=9).n_images == again
        hold(store, {image: None}, file="a later one")
        assert plan_shards(store, FOLDER, [image], size=9) == Plan(shards=(), n_reused=1)

    def test_nothing_to_do(self, store):
        assert plan_shards(store, FOLDER, [], size=9) == Plan(shards=(), n_reused=0)


class TestShard:
    @pytest.fixture
    def images(self, store, pictures):
        """Five whole pictures, one cut off and one that the store does not hold: digest to outcome, sorted."""
        found = {store.write_image(path.read_bytes()): path for path in pictures[:5]}
        found[store.write_image(pictures[5].read_bytes()[:2000])] = Reason.LOAD_FAILED
        found[digest_of(b"never stored")] = Reason.NOT_FOUND
        return dict(sorted(found.items()))

    def test_two_bad_images_leave_the_others_alone(self, store, encoder, images):
        shard, done = Shard(sha256s=tuple(images)), []
        before = time.time()
        result = extract_shard(store, FOLDER, encoder, shard, 3, done.append)
        assert before <= result.started_at < result.finished_at <= time.time()
        assert result.seconds == result.finished_at - result.started_at
        assert (result.file.path, result.file.rows) == (f"{FOLDER}/{shard.name}.parquet", 7)
        assert (result.n_failed, done) == (2, [1, 2, 3, 4, 5, 6, 7])
        assert store.holds(result.file)

        table = store.read_table(result.file.path)
        assert table["sha256"].to_pylist() == list(images)
        bad = [outcome if isinstance(outcome, Reason) else None for outcome in images.values()]
        assert table["reason"].to_pylist() == bad
        assert table["status"].to_pylist() == ["failed" if reason else "ok" for reason in bad]
        assert table["feature"].null_count == 0
        details = dict(zip(bad, table["detail"].to_pylist(), strict=True))
        assert details[None] is None
        assert "truncated" in details[Reason.LOAD_FAILED]
        assert digest_of(b"never stored") in details[Reason.NOT_FOUND]

        for vector, outcome in zip(vectors_of(table["feature"]), images.values(), strict=True):
            if isinstance(outcome, Reason):
                assert np.isnan(vector).all()
            else:
                alone = encoder.encode(encoder.prepare(decode_image(outcome))[None])[0]
                np.testing.assert_allclose(vector, alone, atol=1e-4)

    def test_a_missing_image_is_extracted_once_it_is_there(self, store, encoder, pictures):
        data = pictures[0].read_bytes()
        shard = Shard(sha256s=(digest_of(data),))
        result = extract_shard(store, FOLDER, encoder, shard, 8, lambda _: None)
        assert (result.n_failed, result.n_errors, result.is_final) == (1, 1, False)
        store.write_image(data)
        (again,) = plan_shards(store, FOLDER, shard.sha256s, size=9).shards
        result = extract_shard(store, FOLDER, encoder, again, 8, lambda _: None)
        assert (result.n_failed, result.n_errors, result.is_final) == (0, 0, True)
        assert held_features(store, FOLDER)[shard.sha256s[0]].reason is None

    def test_a_corrupt_image_is_final(self, store, encoder, pictures):
        cut = store.write_image(pictures[0].read_bytes()[:2000])
        result = extract_shard(store, FOLDER, encoder, Shard(sha256s=(cut,)), 8, lambda _: None)
        assert (result.n_failed, result.n_errors, result.is_final) == (1, 0, True)


class Numbers:
    """Stands in for an encoder: the picture's width becomes its vector."""

    dim = 2

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.alive = 0
        self.most_alive = 0
        self.lock = threading.Lock()

    def prepare(self, image):
        tensor = torch.full((2,), float(image.width))
        with self.lock:
            self.alive += 1
            self.most_alive = max(self.most_alive, self.alive)
        weakref.finalize(tensor, self._gone)
        return tensor

    def _gone(self):
        with self.lock:
            self.alive -= 1

    def encode(self, batch):
        time.sleep(self.seconds)
        vectors = batch.numpy().copy()
        vectors[vectors == 13] = np.nan
        return vectors


def picture(width, seconds=0.0):
    time.sleep(seconds)
    return Image.new("RGB", (width, 1))


def failing(error):
    raise error


class TestEmbed:
    @pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
    def test_order_is_kept(self, batch_size):
        slow_first = [partial(picture, number + 20, 0.02 if number % 3 == 0 else 0) for number in range(20)]
        embeddings = list(embed(Numbers(), slow_first, batch_size))
        assert [embedding.vector.tolist() for embedding in embeddings] == [[n + 20.0] * 2 for n in range(20)]
        assert {embedding.reason for embedding in embeddings} == {None}

    def test_nothing(self):
        assert list(embed(Numbers(), [], 3)) == []

    def test_no_more_than_three_batches_are_held(self):
        encoder, batch_size, called = Numbers(seconds=0.01), 4, []

        def load(number):
            called.append(number)
            return picture(number + 20)

        most_ahead = 0
        for done, _ in enumerate(embed(encoder, [partial(load, number) for number in range(80)], batch_size)):
            most_ahead = max(most_ahead, len(called) - done)
        assert batch_size < most_ahead <= 3 * batch_size
        assert batch_size < encoder.most_alive <= 3 * batch_size
        assert len(called) == 80

    def test_whoever_stops_early_stops_the_decoding(self):
        called, workers = [], os.cpu_count()

        def load():
            called.append(1)
            return picture(20, 0.005)

        embeddings = embed(Numbers(), [load] * 100 * workers, batch_size=10 * workers)
        next(embeddings)
        so_far = len(called)
        embeddings.close()
        assert len(called) <= so_far + workers
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]

    def test_decoding_goes_on_during_the_forward_pass(self):
        started = time.monotonic()
        list(embed(Numbers(seconds=0.05), [partial(picture, 20, 0.05) for _ in range(10)], 1))
        assert time.monotonic() - started < 0.9

    @pytest.mark.parametrize("batch_size", [1, 2, 5])
    def test_one_loaders_error_is_its_own(self, batch_size):
        loaders = [partial(picture, number) for number in (20, 21, 22, 23, 24)]
        loaders[1] = partial(failing, ZeroDivisionError("a defect"))
        loaders[3] = partial(failing, ImageError(Reason.LOAD_FAILED, "cut off"))
        outcomes = list(embed(Numbers(), loaders, batch_size))
        assert [outcome.vector is None for outcome in outcomes] == [False, True, False, True, False]
        assert (outcomes[1].reason, outcomes[1].detail) == (Reason.EXTRACTION_ERROR, "ZeroDivisionError: a defect")
        assert (outcomes[3].reason, outcomes[3].detail) == (Reason.LOAD_FAILED, "cut off")
        assert [outcome.vector[0] for outcome in outcomes[::2]] == [20, 22, 24]

    def test_a_vector_that_is_not_finite_is_an_error(self):
        outcomes = list(embed(Numbers(), [partial(picture, width) for width in (12, 13, 14)], 3))
        assert outcomes[1].vector is None
        assert outcomes[1].reason == Reason.EXTRACTION_ERROR
        assert "not finite" in outcomes[1].detail
        assert [outcomes[0].vector.tolist(), outcomes[2].vector.tolist()] == [[12, 12], [14, 14]]

    def test_a_defect_of_the_forward_pass_is_not_hidden(self):
        class Broken(Numbers):
            def encode(self, batch):
                raise RuntimeError(f"out of memory for {len(batch)}")

        with pytest.raises(RuntimeError, match="out of memory for 2"):
            list(embed(Broken(), [partial(picture, 20)] * 2, 8))


def shard_result(rows, started_at, finished_at):
    file = Ref(path="a", digest="0", rows=rows)
    return ShardResult(file=file, n_failed=0, n_errors=0, started_at=started_at, finished_at=finished_at)


def test_images_per_second():
    assert images_per_second([]) is None
    assert images_per_second([shard_result(30, 100.0, 110.0)]) == 3
    overlapping = [shard_result(30, 105.0, 112.0), shard_result(50, 100.0, 110.0), shard_result(16, 101.0, 104.0)]
    assert images_per_second(overlapping) == 8
