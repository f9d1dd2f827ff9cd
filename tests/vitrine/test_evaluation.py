import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vitrine import evaluation
from vitrine.config import EvaluationConfig, Metric
from vitrine.errors import VitrineError
from vitrine.evaluation import Retrieval, probe_accuracy, regression_r2, retrieval

METRICS: list[Metric] = ["cosine", "euclidean"]
CONFIG = EvaluationConfig()


def nearness(a: np.ndarray, b: np.ndarray, metric: Metric) -> float:
    if metric == "euclidean":
        return -math.dist(a, b)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


def slow_retrieval(
    x: np.ndarray, metric: Metric, groups: list[str | None], excluded: list[list[str]], ks: tuple[int, ...]
) -> Retrieval | None:
    """The definition, word for word."""
    judged = []
    for query in range(len(x)):
        candidates = [
            other
            for other in range(len(x))
            if other != query and all(column[other] != column[query] for column in excluded)
        ]
        if not groups[query] or not any(groups[other] == groups[query] for other in candidates):
            continue
        candidates.sort(key=lambda other: (-round(nearness(x[query], x[other], metric), 6), other))
        judged.append([groups[other] == groups[query] for other in candidates])
    if not judged:
        return None
    return Retrieval(
        n_queries=len(judged),
        precision_at={k: float(np.mean([sum(hits[:k]) / k for hits in judged])) for k in ks},
        hit_at={k: float(np.mean([any(hits[:k]) for hits in judged])) for k in ks},
    )


def same(ours: Retrieval | None, theirs: Retrieval | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return (
        ours.n_queries == theirs.n_queries
        and ours.precision_at == pytest.approx(theirs.precision_at)
        and ours.hit_at == pytest.approx(theirs.hit_at)
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(8))
def test_retrieval_is_its_definition(metric: Metric, seed: int) -> None:
    # Few distinct vectors on a coarse grid: many ties, exact duplicates and rows of zeros.
    rng = np.random.default_rng(seed)
    n = 50
    x = rng.integers(-1, 2, size=(n, 3)).astype(np.float64)
    items = [f"i{number}" for number in rng.integers(0, 18, n)]
    labels = [None if rng.random() < 0.15 else f"l{number}" for number in rng.integers(0, 4, n)]
    digests = [f"d{number}" for number in rng.integers(0, 40, n)]
    ks = (1, 3, 10)
    for groups, excluded in ((items, [digests]), (labels, [items, digests])):
        expected = slow_retrieval(x, metric, groups, excluded, ks)
        assert expected is not None
        assert same(retrieval(x, metric, groups, excluded, ks), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_small_blocks_change_nothing(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(60, 5))
    items, digests = [str(number // 3) for number in range(60)], [str(number) for number in range(60)]
    whole = retrieval(x, metric, items, [digests])
    monkeypatch.setattr(evaluation, "_BLOCK_VALUES", 7 * 60)
    assert retrieval(x, metric, items, [digests]) == whole


def test_known_answer() -> None:
    angles = np.radians([0, 10, 25, 90, 100])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = ["a", "a", "b", "b", "b"]
    digests = list("12345")
    # First hits by row: 1, 0, 1, 4, 3; of these rows 0, 1, 3 and 4 find their own label.
    result = retrieval(x, "cosine", labels, [digests], ks=(1, 2))
    assert result == Retrieval(n_queries=5, precision_at={1: 0.8, 2: 0.6}, hit_at={1: 0.8, 2: 0.8})


def test_a_byte_identical_copy_is_no_match() -> None:
    x = np.array([[1, 0], [1, 0], [0, 1], [1, 0.1]])
    items, digests = ["a", "a", "a", "b"], ["same", "same", "2", "3"]
    result = retrieval(x, "cosine", items, [digests], ks=(1,))
    # Rows 0 and 1 find row 3 before row 2; row 2 finds row 3; item b has no second image.
    assert result == Retrieval(n_queries=3, precision_at={1: 0.0}, hit_at={1: 0.0})


def test_an_image_never_matches_itself() -> None:
    assert retrieval(np.eye(3), "cosine", ["a", "b", "c"], []) is None


def test_of_equal_candidates_the_first_row_comes_first() -> None:
    x = np.array([[1, 0], [1, 0], [1, 0]])
    result = retrieval(x, "cosine", ["a", "b", "a"], [], ks=(1,))
    # Row 0 finds row 1, row 2 finds row 0.
    assert result == Retrieval(n_queries=2, precision_at={1: 0.5}, hit_at={1: 0.5})


def test_duplicates_tie_whatever_the_batch() -> None:
    x = np.tile(np.random.default_rng(0).normal(size=(1, 256)), (13, 1))
    groups: list[str | None] = ["a"] * 12 + ["b"]
    result = retrieval(x, "cosine", groups, [], ks=(1, 11))
    assert result == Retrieval(n_queries=12, precision_at={1: 1.0, 11: 1.0}, hit_at={1: 1.0, 11: 1.0})


def test_precision_divides_by_k_where_candidates_are_few() -> None:
    result = retrieval(np.eye(2), "euclidean", ["a", "a"], [], ks=(1, 10))
    assert result == Retrieval(n_queries=2, precision_at={1: 1.0, 10: 0.1}, hit_at={1: 1.0, 10: 1.0})


@pytest.mark.parametrize(
    ("labels", "items"),
    [
        (["a", "b", "c", "d"], list("1234")),
        ([None, None, "", "a"], list("1234")),
        (["a", "a", "a", "a"], list("1111")),
    ],
)
def test_no_query_that_can_be_judged(labels: list[str | None], items: list[str]) -> None:
    assert retrieval(np.eye(4), "cosine", labels, [items, list("abcd")]) is None


def test_no_rows_and_one_row() -> None:
    assert retrieval(np.empty((0, 3)), "cosine", [], [[]]) is None
    assert retrieval(np.ones((1, 3)), "euclidean", ["a"], [["1"]]) is None


def labelled(classes: int = 3, items: int = 30, views: int = 3, d: int = 12) -> tuple[np.ndarray, list[str], list[str]]:
    """Items around their label's centre, views around their item: easily told apart."""
    rng = np.random.default_rng(0)
    label = np.arange(items) % classes
    centres = rng.normal(size=(classes, d))[label] + 0.15 * rng.normal(size=(items, d))
    x = np.repeat(centres, views, axis=0) + 0.05 * rng.normal(size=(items * views, d))
    names = [f"label{number}" for number in np.repeat(label, views)]
    return x, names, [f"item{number}" for number in np.repeat(np.arange(items), views)]


def test_probe_tells_clear_labels_and_not_random_ones() -> None:
    x, labels, items = labelled(d=60)
    assert probe_accuracy(x, labels, items, CONFIG, 0) == 1.0
    by_item = dict(zip(dict.fromkeys(items), np.random.default_rng(1).permutation(["a", "b"] * 15), strict=True))
    at_random = probe_accuracy(x, [str(by_item[item]) for item in items], items, CONFIG, 0)
    # A probe that saw the test items' other views would tell them perfectly.
    assert at_random is not None
    assert at_random < 0.75


def test_probe_leaves_the_unlabelled_out() -> None:
    x, labels, items = labelled()
    extended = np.concatenate([x, 100 * np.ones((2, x.shape[1]))])
    with_gaps = probe_accuracy(extended, [*labels, None, ""], [*items, "new", "item0"], CONFIG, 0)
    assert with_gaps == probe_accuracy(x, labels, items, CONFIG, 0)


@pytest.mark.parametrize(
    ("labels", "items"),
    [
        (["a", "a", "a", "a"], list("1234")),
        (["a", "b", "a", "b"], list("1111")),
        ([None, "", None, None], list("1234")),
        (["a", "b", None, None], list("1123")),
    ],
)
def test_probe_that_cannot_be_told(labels: list[str | None], items: list[str]) -> None:
    assert probe_accuracy(np.eye(4), labels, items, CONFIG, 0) is None


@pytest.mark.filterwarnings("error")
def test_folds_are_no_more_than_items() -> None:
    x, labels, items = labelled(classes=2, items=4)
    accuracy = probe_accuracy(x, labels, items, EvaluationConfig(n_folds=50), 0)
    assert accuracy is not None
    assert 0 <= accuracy <= 1


@pytest.mark.filterwarnings("error")
def test_a_training_part_of_one_label_predicts_it() -> None:
    x = np.eye(4)[[0, 0, 1, 1]]
    # Two items, two folds: each is trained on the other's label.
    assert probe_accuracy(x, ["a", "a", "b", "b"], ["1", "1", "2", "2"], CONFIG, 0) == 0.0


@pytest.mark.filterwarnings("error")
def test_rare_labels_do_not_disturb() -> None:
    x, labels, items = labelled()
    labels[0:3] = ["rare"] * 3
    labels[3] = "once"
    accuracy = probe_accuracy(x, labels, items, CONFIG, 0)
    assert accuracy == pytest.approx(1 - 4 / 90)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("x", [np.zeros((12, 3)), np.ones((12, 3))])
def test_probe_of_vectors_that_tell_nothing(x: np.ndarray) -> None:
    labels = [*("a" * 8), *("b" * 4)]
    accuracy = probe_accuracy(x, labels, [str(number) for number in range(12)], CONFIG, 0)
    assert accuracy == pytest.approx(8 / 12)


def test_folds_with_a_single_training_row_do_not_crash() -> None:
    assert probe_accuracy(np.eye(2), ["a", "b"], ["1", "2"], CONFIG, 0) == 0.0


def test_the_probe_is_a_penalised_logistic_regression() -> None:
    x, labels, _ = labelled(items=8, views=1, d=5)
    scaled = x / np.linalg.norm(x, axis=1, keepdims=True) * np.sqrt(5)
    hits = [
        LogisticRegression(C=0.1).fit(np.delete(scaled, row, 0), np.delete(labels, row)).predict(scaled[[row]])[0]
        == labels[row]
        for row in range(8)
    ]
    items = [str(number) for number in range(8)]
    assert probe_accuracy(x, labels, items, EvaluationConfig(n_folds=8), 0) == pytest.approx(np.mean(hits))


def linear(n: int = 200, d: int = 6, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A target that is linear in the direction of the vectors, positive, with two views of every item."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(n // 2, d)), 2, axis=0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    y = 5 + unit @ rng.normal(size=d) + noise * rng.normal(size=n)
    return x, y, [str(number // 2) for number in range(n)]


def test_a_linear_target_is_predicted() -> None:
    x, y, items = linear()
    result = regression_r2(x, y, items, EvaluationConfig(target_transform="none"), 0)
    assert result is not None
    assert result.r2 > 0.98
    assert (result.transform, result.n) == ("none", 200)


def test_a_random_target_is_not_predicted() -> None:
    x, _, items = linear(d=120)
    by_item = np.repeat(np.random.default_rng(5).normal(size=100), 2)
    result = regression_r2(x, by_item, items, CONFIG, 0)
    # A regression that saw the test items' other views would beat the mean.
    assert result is not None
    assert result.r2 < 0.1


def test_an_exponential_target_is_linear_as_a_logarithm() -> None:
    x, y, items = linear()
    as_log = regression_r2(x, np.exp(3 * y), items, EvaluationConfig(target_transform="log"), 0)
    as_is = regression_r2(x, np.exp(3 * y), items, EvaluationConfig(target_transform="none"), 0)
    assert as_log is not None
    assert as_is is not None
    assert as_log.r2 > 0.98 > as_is.r2
    assert (as_log.transform, as_is.transform) == ("log", "none")


@pytest.mark.parametrize(("shift", "expected"), [(0.0, "log"), (-5.0, "none")])
def test_auto_takes_the_logarithm_of_positive_values_alone(shift: float, expected: str) -> None:
    x, y, items = linear()
    result = regression_r2(x, y + shift, items, CONFIG, 0)
    assert result is not None
    assert result.transform == expected


def test_a_logarithm_that_cannot_be_names_the_way_out() -> None:
    x, y, items = linear()
    y[[3, 4]] = 0, -2
    with pytest.raises(VitrineError, match=r"2 of its values.*least is -2.*target_transform to 'none'"):
        regression_r2(x, y, items, EvaluationConfig(target_transform="log"), 0)


def test_missing_values_are_left_out() -> None:
    x, y, items = linear()
    gaps = np.concatenate([y, [np.nan, np.nan]])
    extended = np.concatenate([x, 100 * np.ones((2, x.shape[1]))])
    assert regression_r2(extended, gaps, [*items, "new", "0"], CONFIG, 0) == regression_r2(x, y, items, CONFIG, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("y", "items"),
    [
        ([7.0] * 6, list("123456")),
        ([1.0, 2, 3, 4, 5, 6], list("111223")),
        ([1.0, 2, 3, np.nan, np.nan, np.nan], list("123456")),
        ([np.nan] * 6, list("123456")),
    ],
)
def test_regression_that_cannot_be_told(y: list[float], items: list[str]) -> None:
    assert regression_r2(np.eye(6), y, items, CONFIG, 0) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_folds", [2, 50])
def test_regression_of_the_fewest_items(n_folds: int) -> None:
    result = regression_r2(np.eye(4), [1.0, 2, 3, 4], list("1234"), EvaluationConfig(n_folds=n_folds), 0)
    assert result is not None
    assert math.isfinite(result.r2)


def test_what_is_not_finite_is_refused() -> None:
    x = np.full((4, 2), np.nan)
    for refused in (
        lambda: retrieval(x, "cosine", list("aabb"), []),
        lambda: probe_accuracy(x, list("aabb"), list("1234"), CONFIG, 0),
        lambda: regression_r2(x, [1.0, 2, 3, 4], list("1234"), CONFIG, 0),
    ):
        with pytest.raises(ValueError, match="finite"):
            refused()


def test_columns_must_be_as_long_as_the_vectors() -> None:
    with pytest.raises((ValueError, IndexError)):
        probe_accuracy(np.eye(4), list("aab"), list("123"), CONFIG, 0)


def test_the_same_seed_gives_the_same_answer() -> None:
    x, labels, items = labelled(classes=6)
    x = x + 0.8 * np.random.default_rng(9).normal(size=x.shape)
    y = np.random.default_rng(9).normal(size=len(x)) + x[:, 0]
    first, second, other = (
        (probe_accuracy(x, labels, items, CONFIG, seed), regression_r2(x, y, items, CONFIG, seed)) for seed in (1, 1, 2)
    )
    assert first == second
    assert first[0] != other[0]
    assert first[1] != other[1]
