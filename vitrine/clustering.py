"""K-Means, and how well its clusters agree with labels."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans

from vitrine.config import ClusteringConfig
from vitrine.reduction import as_rows


def fit_kmeans(vectors: ArrayLike, config: ClusteringConfig, seed: int) -> KMeans:
    """Fit K-Means on vectors of shape (n, d); cluster 0 is the largest, and so on down.

    The number of clusters is lowered to the number of distinct vectors. Of ten starts the best is kept.

    Source: Lloyd, Least squares quantization in PCM, 1982; seeding by Arthur and Vassilvitskii, k-means++, 2007.

    Raises:
        ValueError: there is no vector, or the values are not finite rows.
    """
    rows = as_rows(vectors)
    clusters = min(config.n_clusters, len(np.unique(rows, axis=0)))
    model = KMeans(n_clusters=clusters, n_init=10, random_state=seed)
    # In float64 the order in which threads add up is lost on the float32 centres.
    model.fit(rows.astype(np.float64))
    model.cluster_centers_ = model.cluster_centers_.astype(np.float32)
    _renumber(model, rows)
    return model


def _renumber(model: KMeans, rows: NDArray[np.float32]) -> None:
    sizes = np.bincount(model.predict(rows), minlength=model.n_clusters)
    model.cluster_centers_ = np.ascontiguousarray(model.cluster_centers_[np.argsort(-sizes, kind="stable")])
    model.labels_ = model.predict(rows)


def assign(model: KMeans, vectors: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest cluster of every vector and the Euclidean distance to its centre, each of shape (n,).

    Raises:
        ValueError: the vectors are not finite rows of the width that the model was fitted on.
    """
    rows = as_rows(vectors)
    clusters = model.predict(rows).astype(np.int32)
    distances = np.linalg.norm(rows - model.cluster_centers_[clusters], axis=1)
    return clusters, distances.astype(np.float32)


def dominant_labels(clusters: ArrayLike, labels: Sequence[str | None]) -> dict[int, tuple[str, int]]:
    """The most frequent label of every cluster and how many images bear it.

    Images without a label do not count, and a cluster of such images alone has no entry. Of labels that are equally
    frequent the alphabetically first is taken.
    """
    pairs = zip(np.asarray(clusters).tolist(), labels, strict=True)
    counts = Counter((cluster, label) for cluster, label in pairs if label)
    dominant: dict[int, tuple[str, int]] = {}
    for cluster, label in sorted(counts):
        if counts[cluster, label] > dominant.get(cluster, ("", 0))[1]:
            dominant[cluster] = label, counts[cluster, label]
    return dominant


def label_purity(clusters: ArrayLike, labels: Sequence[str | None]) -> float | None:
    """The share of images whose label is the most frequent one of their cluster, between 0 and 1.

    Images without a label do not count; None where no image has one.

    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 16.3.
    """
    labelled = sum(1 for label in labels if label)
    if not labelled:
        return None
    return sum(count for _, count in dominant_labels(clusters, labels).values()) / labelled
