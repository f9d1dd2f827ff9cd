import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from vitrine.clustering import assign, dominant_labels, fit_kmeans, label_purity
from vitrine.config import ClusteringConfig

CENTRES = np.array([[0, 0], [10, 0], [0, 10]], dtype=np.float32)
TRUTH = np.repeat([0, 1, 2], [5, 30, 12])


def blobs() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(len(TRUTH), 2))
    return (CENTRES[TRUTH] + 0.3 * noise).astype(np.float32)


def config(n_clusters: int) -> ClusteringConfig:
    return ClusteringConfig(n_clusters=n_clusters)


def test_clusters_are_found_and_numbered_by_falling_size() -> None:
    model = fit_kmeans(blobs(), config(3), 0)
    assert isinstance(model, KMeans)
    assert np.bincount(model.labels_).tolist() == [30, 12, 5]
    assert adjusted_rand_score(TRUTH, model.labels_) == 1
    np.testing.assert_allclose(model.cluster_centers_, CENTRES[[1, 2, 0]], atol=0.5)


def test_sizes_never_rise_where_clusters_are_not_clear() -> None:
    x = np.random.default_rng(1).normal(size=(300, 5))
    sizes = np.bincount(fit_kmeans(x, config(12), 0).labels_)
    assert (np.diff(sizes) <= 0).all()


def test_the_partition_is_that_of_scikit_learn() -> None:
    x = np.random.default_rng(2).normal(size=(200, 4)).astype(np.float32)
    theirs = KMeans(6, n_init=10, random_state=5).fit(x.astype(np.float64))
    assert adjusted_rand_score(theirs.labels_, fit_kmeans(x, config(6), 5).labels_) == 1


def test_the_model_predicts_its_own_labels() -> None:
    x = blobs()
    model = fit_kmeans(x, config(7), 0)
    np.testing.assert_array_equal(model.predict(x), model.labels_)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (2, 2), (3, 3)])
def test_clusters_are_no_more_than_distinct_vectors(rows: int, expected: int) -> None:
    x = np.tile(CENTRES[:rows], (4, 1))
    model = fit_kmeans(x, config(20), 0)
    assert model.n_clusters == expected
    assert set(model.labels_) == set(range(expected))


def test_a_single_vector_is_a_cluster() -> None:
    clusters, distances = assign(fit_kmeans([[3, 4]], config(20), 0), [[3, 4]])
    assert (clusters.tolist(), distances.tolist()) == ([0], [0])


def test_assign_tells_the_nearest_centre_and_its_distance() -> None:
    model = fit_kmeans(blobs(), config(3), 0)
    queries = np.array([[9, 1], [1, 1], [1, 9]], dtype=np.float32)
    clusters, distances = assign(model, queries)
    every = np.linalg.norm(queries[:, None] - model.cluster_centers_, axis=2)
    assert (clusters.dtype, distances.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(clusters, every.argmin(axis=1))
    np.testing.assert_allclose(distances, every.min(axis=1), rtol=1e-6)


def test_the_same_seed_gives_the_same_clusters() -> None:
    x = np.random.default_rng(3).normal(size=(400, 8))
    first, second = (fit_kmeans(x, config(9), 7) for _ in range(2))
    np.testing.assert_array_equal(first.labels_, second.labels_)
    np.testing.assert_array_equal(first.cluster_centers_, second.cluster_centers_)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    x = blobs()
    model = fit_kmeans(x, config(2), 0)
    x[3, 1] = bad
    for refused in (lambda: fit_kmeans(x, config(2), 0), lambda: assign(model, x)):
        with pytest.raises(ValueError, match="finite"):
            refused()


def test_purity_of_the_textbook() -> None:
    # Manning, Raghavan and Schütze, figure 16.4: (5 + 4 + 3) / 17.
    clusters = [0] * 6 + [1] * 6 + [2] * 5
    labels = list("xxxxxo" + "xooood" + "xxddd")
    assert label_purity(clusters, labels) == pytest.approx(12 / 17)


def test_purity_counts_only_images_with_a_label() -> None:
    assert label_purity([0, 0, 0, 1, 1], ["a", "b", None, "", "c"]) == pytest.approx(2 / 3)


def test_purity_without_labels_is_none() -> None:
    assert label_purity([0, 1], [None, ""]) is None
    assert label_purity([], []) is None


def test_dominant_labels_take_the_first_of_equals_and_skip_the_unlabelled() -> None:
    clusters = [2, 2, 2, 0, 0, 1]
    labels = ["b", "b", "a", "z", "y", None]
    assert list(dominant_labels(np.array(clusters), labels).items()) == [(0, ("y", 1)), (2, ("b", 2))]


def test_labels_and_clusters_must_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        label_purity([0, 1], ["a"])
