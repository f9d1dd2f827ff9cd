import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from vitrine import index as module
from vitrine.config import Metric
from vitrine.errors import VitrineError
from vitrine.index import build_index, dump_index, load_index, nearest_others, search
from vitrine.reduction import normalise

METRICS: list[Metric] = ["cosine", "euclidean"]


def vectors(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def reference(rows: np.ndarray, metric: Metric, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    found = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(rows.astype(np.float64))
    distances, numbers = found.kneighbors(queries.astype(np.float64))
    return (1 - distances if metric == "cosine" else -distances), numbers


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_queries", [1, 100])
def test_search_is_that_of_scikit_learn(metric: Metric, n_queries: int) -> None:
    rows, queries = vectors(200), vectors(n_queries, seed=1)
    scores, found = search(build_index(rows, metric), metric, queries, 7)
    expected_scores, expected = reference(rows, metric, queries, 7)
    assert (scores.dtype, found.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_a_score_does_not_depend_on_the_batch(metric: Metric) -> None:
    rows = vectors(120)
    index = build_index(rows, metric)
    together = search(index, metric, rows, 5)
    alone = [search(index, metric, rows[number : number + 1], 5) for number in range(len(rows))]
    np.testing.assert_array_equal(np.concatenate([scores for scores, _ in alone]), together[0])
    np.testing.assert_array_equal(np.concatenate([found for _, found in alone]), together[1])


@pytest.mark.parametrize("metric", METRICS)
def test_small_blocks_change_nothing(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = vectors(90)
    index = build_index(rows, metric)
    whole = nearest_others(index, metric, rows, 4)
    monkeypatch.setattr(module, "_BLOCK_VALUES", 7 * 5 * 16)
    blocks = nearest_others(index, metric, rows, 4)
    np.testing.assert_array_equal(blocks[0], whole[0])
    np.testing.assert_array_equal(blocks[1], whole[1])


def test_cosine_ignores_lengths() -> None:
    rows = vectors(50)
    index = build_index(rows, "cosine")
    np.testing.assert_allclose(search(index, "cosine", 9 * rows, 3)[0], search(index, "cosine", rows, 3)[0], atol=1e-6)


def test_known_scores() -> None:
    rows = np.array([[3, 0], [0, 2], [-1, 0]], dtype=np.float32)
    scores, found = search(build_index(rows, "cosine"), "cosine", [[1, 0]], 3)
    assert (found.tolist(), scores.tolist()) == ([[0, 1, 2]], [[1, 0, -1]])
    scores, found = search(build_index(rows, "euclidean"), "euclidean", [[3, 4]], 2)
    assert found.tolist() == [[1, 0]]
    np.testing.assert_allclose(scores, [[-np.sqrt(13), -4]], rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_duplicate_has_the_perfect_score(metric: Metric) -> None:
    rows = normalise(np.repeat(vectors(40, 64), 2, axis=0))
    scores, found = nearest_others(build_index(rows, metric), metric, rows, 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(80) ^ 1)
    if metric == "euclidean":
        np.testing.assert_array_equal(scores, 0)
        assert not np.signbit(scores).any()
    else:
        np.testing.assert_allclose(scores, 1, atol=1e-6)
        assert (scores <= 1).all()


@pytest.mark.parametrize("metric", METRICS)
def test_of_equal_hits_the_lower_row_comes_first(metric: Metric) -> None:
    rows = np.array([[0, 1], [1, 0], [1, 0], [0, 1], [1, 0]], dtype=np.float32)
    _, found = search(build_index(rows, metric), metric, [[1, 0], [0, 1]], 5)
    assert found.tolist() == [[1, 2, 4, 0, 3], [0, 3, 1, 2, 4]]


@pytest.mark.parametrize("metric", METRICS)
def test_nearest_others_are_those_of_scikit_learn(metric: Metric) -> None:
    rows = vectors(150)
    scores, found = nearest_others(build_index(rows, metric), metric, rows, 6)
    expected_scores, expected = reference(rows, metric, rows, 7)
    np.testing.assert_array_equal(found, expected[:, 1:])
    np.testing.assert_allclose(scores, expected_scores[:, 1:], atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 3, 29])
def test_a_row_never_finds_itself_among_many_duplicates(metric: Metric, k: int) -> None:
    rows = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (30, 1))
    _, found = nearest_others(build_index(rows, metric), metric, rows, k)
    assert found.shape == (30, k)
    for number, others in enumerate(found.tolist()):
        assert number not in others
        assert len(set(others)) == k


@pytest.mark.parametrize("metric", METRICS)
def test_k_is_lowered_to_the_rows_there_are(metric: Metric) -> None:
    rows = vectors(4)
    index = build_index(rows, metric)
    assert search(index, metric, rows, 10)[1].shape == (4, 4)
    assert nearest_others(index, metric, rows, 10)[1].shape == (4, 3)


@pytest.mark.parametrize("metric", METRICS)
def test_a_single_row_has_no_others(metric: Metric) -> None:
    rows = vectors(1)
    scores, found = nearest_others(build_index(rows, metric), metric, rows, 5)
    assert scores.shape == found.shape == (1, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_to_search_or_to_search_for(metric: Metric) -> None:
    rows, none = vectors(3), np.empty((0, 16), np.float32)
    assert search(build_index(none, metric), metric, rows, 5)[1].shape == (3, 0)
    assert search(build_index(rows, metric), metric, none, 2)[0].shape == (0, 2)
    assert nearest_others(build_index(none, metric), metric, none, 2)[0].shape == (0, 0)


def test_a_row_of_zeros_is_near_nothing_by_cosine() -> None:
    rows = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)
    scores, found = nearest_others(build_index(rows, "cosine"), "cosine", rows, 2)
    assert scores[0].tolist() == [0, 0]
    assert found[0].tolist() == [1, 2]


@pytest.mark.parametrize("metric", METRICS)
def test_an_index_comes_back_as_it_was(metric: Metric) -> None:
    rows = vectors(30)
    data = dump_index(build_index(rows, metric))
    assert data == dump_index(build_index(rows, metric))
    before = search(build_index(rows, metric), metric, rows, 4)
    after = search(load_index(data), metric, rows, 4)
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])


@pytest.mark.parametrize("data", [b"", b"nonsense" * 9, dump_index(build_index(vectors(5), "cosine"))[:-5]])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(VitrineError, match="not a readable index"):
        load_index(data)


@pytest.mark.parametrize("metric", METRICS)
def test_bad_queries_are_refused(metric: Metric) -> None:
    index = build_index(vectors(5), metric)
    with pytest.raises(ValueError, match="finite"):
        search(index, metric, np.full((1, 16), np.nan), 2)
    with pytest.raises(ValueError, match="dimensions"):
        search(index, metric, vectors(2, 8), 2)
    with pytest.raises(ValueError, match="finite"):
        build_index(np.full((2, 16), np.inf), metric)
