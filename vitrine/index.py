"""The exact nearest-neighbour index."""

import faiss
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitrine.config import Metric
from vitrine.errors import VitrineError
from vitrine.reduction import as_rows, normalise

_BLOCK_VALUES = 1 << 24
"""Values of the vectors found that are held at a time: 64 MiB of float32."""

Hits = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores and row numbers, each of shape (queries, k), best first; of equal scores the lower row comes first."""


def build_index(vectors: ArrayLike, metric: Metric) -> faiss.Index:
    """Index vectors of shape (n, d) for exact search by cosine similarity or Euclidean distance.

    Raises:
        ValueError: the values are not finite rows.
    """
    rows = _prepared(vectors, metric)
    index = faiss.IndexFlatIP(rows.shape[1]) if metric == "cosine" else faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    return index


def dump_index(index: faiss.Index) -> bytes:
    """Serialise an index in the format of FAISS."""
    return bytes(faiss.serialize_index(index))


def load_index(data: bytes) -> faiss.Index:
    """Read what `dump_index` wrote.

    Raises:
        VitrineError: the bytes are damaged.
    """
    try:
        return faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    except RuntimeError as error:
        raise VitrineError(f"not a readable index: {error}. Run again to write it anew") from error


def search(index: faiss.Index, metric: Metric, queries: ArrayLike, k: int) -> Hits:
    """The `k` nearest rows of every query, shape (q, d); all rows where there are fewer than `k`.

    A score is the cosine similarity, or minus the Euclidean distance. It depends on the two vectors alone, not on how
    many queries are asked at once.

    Raises:
        ValueError: the queries are not finite rows of the index's width.
    """
    rows = _prepared(queries, metric)
    if rows.shape[1] != index.d:
        raise ValueError(f"queries have {rows.shape[1]} dimensions, and the index has {index.d}")
    k = min(k, index.ntotal)
    step = max(1, _BLOCK_VALUES // max(1, k * index.d))
    blocks = [_search_block(index, metric, rows[start : start + step], k) for start in range(0, len(rows), step)]
    empty = np.empty((0, k), np.float32), np.empty((0, k), np.int64)
    scores, found = zip(empty, *blocks, strict=True)
    return np.concatenate(scores), np.concatenate(found)


def nearest_others(index: faiss.Index, metric: Metric, vectors: ArrayLike, k: int) -> Hits:
    """The `k` nearest other rows of every indexed row.

    `vectors` are the indexed rows in their order. A row never finds itself, but it does find its exact duplicates.

    Raises:
        ValueError: the vectors are not finite rows of the index's width.
    """
    scores, found = search(index, metric, vectors, k + 1)
    own = found == np.arange(len(found))[:, None]
    # Where more than k duplicates tie, a row may be missing from its own hits: then the last hit is one too many.
    own[~own.any(axis=1), -1:] = True
    shape = len(found), max(0, found.shape[1] - 1)
    return scores[~own].reshape(shape), found[~own].reshape(shape)


def _prepared(vectors: ArrayLike, metric: Metric) -> NDArray[np.float32]:
    return normalise(vectors) if metric == "cosine" else as_rows(vectors)


def _search_block(index: faiss.Index, metric: Metric, queries: NDArray[np.float32], k: int) -> Hits:
    if k == 0:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    rows = index.search(queries, k)[1]
    found = index.reconstruct_batch(rows.ravel()).reshape(len(queries), k, index.d)
    scores = _scores(metric, queries, found)
    order = np.lexsort((rows, -scores))
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _scores(metric: Metric, queries: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores from the vectors themselves: FAISS's own depend on the batch and lose the small distances to rounding."""
    scores: NDArray[np.float32]
    if metric == "cosine":
        scores = np.clip(np.einsum("qd,qkd->qk", queries, found), -1, 1)
    else:
        # Subtracted from zero, so that a duplicate scores 0 and not -0.
        scores = np.float32(0) - np.linalg.norm(found - queries[:, None], axis=2)
    return scores
