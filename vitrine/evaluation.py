"""How good the vectors are: retrieval, a linear probe, and regression of numeric targets."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from vitrine.config import EvaluationConfig, Frozen, Metric
from vitrine.errors import VitrineError
from vitrine.reduction import as_rows, normalise

_BLOCK_VALUES = 1 << 23
"""Scores that are held at a time: 64 MiB of float64."""

_PROBE_C = 0.1
"""Inverse strength of the probe's L2 penalty."""

_ALPHAS = np.logspace(-3, 5, 17)
"""Strengths of the ridge penalty, of which leave-one-out on the training folds chooses one."""

_MIN_REGRESSION_ITEMS = 4
"""With fewer a training fold may hold a single row."""


class Retrieval(Frozen):
    """How well the nearest images are the relevant ones."""

    n_queries: int
    """Queries that have a relevant candidate: the others cannot be judged and are left out."""
    precision_at: dict[int, float]
    """By k: the share of relevant images among the first k, averaged over the queries."""
    hit_at: dict[int, float]
    """By k: the share of queries with at least one relevant image among the first k."""


class Regression(Frozen):
    """How well a numeric target is predicted."""

    r2: float
    """Coefficient of determination of the pooled out-of-fold predictions: 1 is perfect, 0 no better than the mean."""
    transform: Literal["log", "none"]
    """What was predicted: log(y), or y as it is."""
    n: int
    """Images with a value."""


def retrieval(
    vectors: ArrayLike,
    metric: Metric,
    groups: Sequence[str | None],
    excluded: Sequence[Sequence[str]],
    ks: Sequence[int] = (1, 5, 10),
) -> Retrieval | None:
    """Search every image of `vectors`, shape (n, d), among all the others, exactly.

    A candidate is relevant if it is of the query's group. It is left out if it shares the query's value in one of the
    columns `excluded`, each of n values. So by item, `groups` are the item ids and `excluded` holds the sha256, that
    no image matches its own copy; by label, `groups` are the labels and `excluded` holds the item ids and the sha256,
    that no image matches its own item.

    Precision at k divides by k even where there are fewer candidates. Images without a group (None or empty) make no
    queries, and as candidates they count as not relevant. Of candidates equally near the first row comes first.

    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, sections 8.3 and 8.4.

    Returns:
        None where no query can be judged.

    Raises:
        ValueError: the vectors are not finite rows.
    """
    rows = normalise(vectors) if metric == "cosine" else as_rows(vectors)
    width = min(max(ks), len(rows))
    ranked = _ranked_relevance(rows, metric, _codes(groups), [_codes(values) for values in excluded], width)
    hits = np.concatenate([np.empty((0, width), dtype=np.bool_), *ranked])
    if not len(hits):
        return None
    return Retrieval(
        n_queries=len(hits),
        precision_at={k: float(hits[:, :k].sum(axis=1).mean() / k) for k in ks},
        hit_at={k: float(hits[:, :k].any(axis=1).mean()) for k in ks},
    )


def probe_accuracy(
    vectors: ArrayLike,
    labels: Sequence[str | None],
    item_ids: Sequence[str],
    config: EvaluationConfig,
    seed: int,
) -> float | None:
    """Accuracy, between 0 and 1, of a linear probe on vectors of shape (n, d).

    The probe is a logistic regression (C = 0.1) on unit vectors scaled by the square root of d. It is cross-validated
    in folds that share the labels alike and keep the images of an item together; the out-of-fold predictions are
    pooled. There are no more folds than items. Images without a label (None or empty) are left out.

    Source: Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016.

    Returns:
        None where there are fewer than two labels or fewer than two items.

    Raises:
        ValueError: the vectors are not finite rows.
    """
    classes, items = _codes(labels), _codes(item_ids)
    known = classes >= 0
    x, classes, items = _standardised(vectors)[known], classes[known], items[known]
    folds = min(config.n_folds, len(np.unique(items)))
    if folds < 2 or len(np.unique(classes)) < 2:
        return None
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    predicted = np.empty_like(classes)
    for train, test in splitter.split(x, _strata(classes, folds), items):
        predicted[test] = _classify(x[train], classes[train], x[test])
    return float((predicted == classes).mean())


def regression_r2(
    vectors: ArrayLike, target: ArrayLike, item_ids: Sequence[str], config: EvaluationConfig, seed: int
) -> Regression | None:
    """R2 of a ridge regression of `target`, shape (n,) with NaN where missing, on vectors of shape (n, d).

    The regression is on unit vectors scaled by the square root of d; its penalty is chosen by leave-one-out within
    the training folds. Folds keep the images of an item together; the out-of-fold predictions are pooled. There are
    no more folds than items. The target is predicted as log(y) if `target_transform` is "log", or is "auto" and all
    values are positive; R2 is then that of log(y).

    Source: Hoerl and Kennard, Ridge regression, 1970.

    Returns:
        None where the target is constant, or fewer than four items have a value.

    Raises:
        ValueError: the vectors are not finite rows.
        VitrineError: the logarithm is asked for, and a value is not above zero.
    """
    y, items = np.asarray(target, dtype=np.float64), _codes(item_ids)
    known = np.isfinite(y)
    x, y, items = _standardised(vectors)[known].astype(np.float64), y[known], items[known]
    folds = min(config.n_folds, len(np.unique(items)))
    if len(np.unique(items)) < _MIN_REGRESSION_ITEMS or np.ptp(y) == 0:
        return None
    transform = _transform(y, config)
    if transform == "log":
        y = np.log(y)
    predicted = np.empty_like(y)
    for train, test in GroupKFold(folds, shuffle=True, random_state=seed).split(x, y, items):
        predicted[test] = RidgeCV(_ALPHAS).fit(x[train], y[train]).predict(x[test])
    return Regression(r2=float(r2_score(y, predicted)), transform=transform, n=len(y))


def _codes(values: Iterable[str | None]) -> NDArray[np.int32]:
    """Number the values in the order they first come; -1 where missing."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) if value else -1 for value in values], dtype=np.int32)


def _ranked_relevance(
    rows: NDArray[np.float32],
    metric: Metric,
    group: NDArray[np.int32],
    excluded: Sequence[NDArray[np.int32]],
    k: int,
) -> Iterator[NDArray[np.bool_]]:
    """By block, for every query that can be judged: whether each of its first `k` candidates is relevant."""
    for block, scores in _score_blocks(rows, metric):
        allowed = np.ones(scores.shape, dtype=np.bool_)
        allowed[np.arange(len(block)), block] = False
        for column in excluded:
            allowed &= column[block, None] != column
        relevant = allowed & (group[block, None] == group)
        scores[~allowed] = -np.inf
        judged = relevant.any(axis=1) & (group[block] >= 0)
        yield np.take_along_axis(relevant[judged], _top_columns(scores[judged], k), axis=1)


def _score_blocks(rows: NDArray[np.float32], metric: Metric) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Row numbers of a block of queries, and their scores against all rows: the higher the nearer."""
    # In float64 the order of summation is lost on the float32 scores, so that duplicates tie exactly.
    wide = rows.astype(np.float64)
    squares = np.einsum("nd,nd->n", wide, wide)
    step = max(1, _BLOCK_VALUES // max(1, len(rows)))
    for start in range(0, len(rows), step):
        block = np.arange(start, min(start + step, len(rows)))
        scores = wide[block] @ wide.T
        if metric == "euclidean":
            scores = 2 * scores - squares[block, None] - squares
        yield block, scores.astype(np.float32)


def _top_columns(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Columns of the `k` highest scores of every row, highest first; of equal scores the lower column first."""
    least = np.partition(scores, -k, axis=1)[:, -k, None]
    queries, columns = np.nonzero(scores >= least)
    order = np.lexsort((columns, -scores[queries, columns], queries))
    first = np.searchsorted(queries, np.arange(len(scores)))
    best: NDArray[np.int64] = columns[order[first[:, None] + np.arange(k)]]
    return best


def _standardised(vectors: ArrayLike) -> NDArray[np.float32]:
    """Unit rows scaled by the square root of d, so that a coordinate is about 1 whatever d is."""
    unit = normalise(vectors)
    return unit * np.float32(math.sqrt(unit.shape[1]))


def _strata(classes: NDArray[np.int32], folds: int) -> NDArray[np.int32]:
    """Classes to stratify by: those too rare to be in every fold are joined with the most frequent one."""
    counts = np.bincount(classes)
    return np.where(counts[classes] < folds, counts.argmax(), classes)


def _classify(x: NDArray[np.float32], classes: NDArray[np.int32], queries: NDArray[np.float32]) -> NDArray[np.int32]:
    if len(np.unique(classes)) == 1:
        return np.full(len(queries), classes[0])
    predicted: NDArray[np.int32] = LogisticRegression(C=_PROBE_C, max_iter=1000).fit(x, classes).predict(queries)
    return predicted


def _transform(y: NDArray[np.float64], config: EvaluationConfig) -> Literal["log", "none"]:
    positive = bool((y > 0).all())
    if config.target_transform == "log" and not positive:
        raise VitrineError(
            f"the target cannot be predicted as log(y): {int((y <= 0).sum())} of its values are not above zero "
            f"(the least is {y.min():g}). Set target_transform to 'none' or 'auto', or give the target a minimum"
        )
    return "log" if positive and config.target_transform != "none" else "none"
