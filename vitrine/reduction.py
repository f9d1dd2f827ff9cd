"""PCA over unit vectors."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from vitrine.config import ReductionConfig


def as_rows(x: ArrayLike) -> NDArray[np.float32]:
    """The values as contiguous float32 rows, shape (n, d).

    Raises:
        ValueError: the values are not two-dimensional, or one is NaN or infinite.
    """
    rows = np.ascontiguousarray(x, dtype=np.float32)
    if rows.ndim != 2:
        raise ValueError(f"vectors must have the shape (n, d), and these have {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("vectors must be finite, and these hold NaN or infinity")
    return rows


def normalise(x: ArrayLike) -> NDArray[np.float32]:
    """Scale every row to unit Euclidean length; a row of zeros stays as it is. Shape (n, d) in and out.

    Raises:
        ValueError: the values are not two-dimensional, or one is NaN or infinite.
    """
    rows = as_rows(x)
    # In float32 the squares of large or tiny values would overflow or vanish.
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))[:, None]
    unit = np.zeros_like(rows)
    np.divide(rows, lengths, out=unit, where=lengths > 0, casting="same_kind")
    return unit


def fit_pca(features: ArrayLike, config: ReductionConfig, seed: int) -> PCA:
    """Fit a PCA on the unit rows of `features`, shape (n, d).

    A whole `n_components` is lowered to min(n - 1, d), the most directions that n rows can vary in; a share keeps as
    many components as reach that share of the variance. Rows that are all the same have no variance and get one
    component. A single row, which has none either, is fitted together with its mirror image, so that the one
    component is the row's own direction.

    The solver is exact and the signs are fixed, so that the same rows give the same model.

    Source: Jolliffe, Principal Component Analysis, 2nd edition, 2002.

    Raises:
        ValueError: there is no row, or the values are not finite rows.
    """
    # In float64 the directions of least variance are still told from rounding.
    rows = normalise(features).astype(np.float64)
    if len(rows) == 1:
        rows = np.concatenate([rows, -rows])
    n, d = rows.shape
    wanted = config.n_components
    pca = PCA(
        n_components=max(1, min(wanted, n - 1, d)) if isinstance(wanted, int) else wanted,
        svd_solver="covariance_eigh" if n >= d else "full",
        random_state=seed,
    )
    with np.errstate(invalid="ignore"):
        pca.fit(rows)
    pca.explained_variance_ratio_ = np.nan_to_num(pca.explained_variance_ratio_)
    return pca


def apply_pca(pca: PCA, features: ArrayLike) -> NDArray[np.float32]:
    """Reduce features of shape (n, d) to unit vectors of shape (n, k).

    The rows are scaled to unit length, projected, and scaled to unit length again.

    Raises:
        ValueError: the features are not finite rows of the width that the PCA was fitted on.
    """
    return normalise(pca.transform(normalise(features)))
