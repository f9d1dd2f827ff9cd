import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from vitrine.config import ReductionConfig
from vitrine.reduction import apply_pca, as_rows, fit_pca, normalise


def features(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Rows that vary most along the first axes, away from the origin, of no particular length."""
    rng = np.random.default_rng(seed)
    return (5 * (rng.normal(size=(n, d)) / np.arange(1, d + 1) + 1)).astype(np.float32)


def config(n_components: float) -> ReductionConfig:
    return ReductionConfig(n_components=n_components)


def test_normalise_is_that_of_scikit_learn() -> None:
    x = features(40, 7)
    assert normalise(x).dtype == np.float32
    np.testing.assert_allclose(normalise(x), normalize(x), rtol=1e-6)


def test_normalise_keeps_a_row_of_zeros() -> None:
    np.testing.assert_array_equal(normalise([[3, 4], [0, 0]]), np.array([[0.6, 0.8], [0, 0]], np.float32))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_normalise_neither_overflows_nor_vanishes(scale: float) -> None:
    np.testing.assert_allclose(normalise(np.array([[3, 4]]) * scale), [[0.6, 0.8]], rtol=1e-6)


def test_normalise_leaves_its_input_alone() -> None:
    x = features(3, 4)
    before = x.copy()
    normalise(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    x = features(5, 3)
    pca = fit_pca(x, config(2), 0)
    x[2, 1] = bad
    for refused in (lambda: normalise(x), lambda: fit_pca(x, config(2), 0), lambda: apply_pca(pca, x)):
        with pytest.raises(ValueError, match="finite"):
            refused()


def test_rows_have_two_dimensions() -> None:
    with pytest.raises(ValueError, match=r"\(n, d\)"):
        as_rows([1.0, 2.0])


@pytest.mark.parametrize(("n", "d"), [(60, 10), (10, 60)])
def test_pca_is_that_of_scikit_learn(n: int, d: int) -> None:
    x = features(n, d)
    ours = fit_pca(x, config(5), 0)
    theirs = PCA(5, svd_solver="full").fit(normalize(x).astype(np.float64))
    assert isinstance(ours, PCA)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-5)
    np.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-4)
    np.testing.assert_allclose(apply_pca(ours, x), normalize(theirs.transform(normalize(x))), atol=1e-4)


def test_reduced_vectors_are_float32_of_unit_length() -> None:
    x = features(30, 8)
    vectors = apply_pca(fit_pca(x, config(3), 0), x)
    assert vectors.dtype == np.float32
    assert vectors.shape == (30, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_the_length_of_a_feature_does_not_matter() -> None:
    x = features(30, 8)
    pca = fit_pca(x, config(4), 0)
    np.testing.assert_allclose(apply_pca(pca, 7 * x), apply_pca(pca, x), atol=1e-5)


@pytest.mark.parametrize(("n", "d", "expected"), [(4, 50, 3), (50, 4, 4), (2, 9, 1), (1, 9, 1)])
def test_components_are_no_more_than_rows_can_vary_in(n: int, d: int, expected: int) -> None:
    x = features(n, d)
    assert fit_pca(x, config(256), 0).n_components_ == expected


def test_a_share_keeps_just_enough_variance() -> None:
    x = features(80, 12)
    ratios = fit_pca(x, config(12), 0).explained_variance_ratio_
    kept = fit_pca(x, config(0.8), 0).n_components_
    assert ratios[:kept].sum() >= 0.8 > ratios[: kept - 1].sum()


@pytest.mark.filterwarnings("error")
def test_a_single_row_is_its_own_direction() -> None:
    x = features(1, 6)
    pca = fit_pca(x, config(3), 0)
    np.testing.assert_allclose(np.abs(pca.components_), np.abs(normalise(x)), rtol=1e-5)
    np.testing.assert_array_equal(np.abs(apply_pca(pca, x)), [[1]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_components", [3, 0.9])
def test_rows_without_variance_give_one_finite_component(n_components: float) -> None:
    x = np.tile(np.eye(6, dtype=np.float32)[:1], (5, 1))
    pca = fit_pca(x, config(n_components), 0)
    assert np.isfinite(pca.explained_variance_ratio_).all()
    vectors = apply_pca(pca, x)
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors, axis=0)) == 1


def test_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="0 sample"):
        fit_pca(np.empty((0, 4)), config(2), 0)


def test_another_width_is_refused() -> None:
    pca = fit_pca(features(9, 4), config(2), 0)
    with pytest.raises(ValueError, match="features"):
        apply_pca(pca, features(9, 5))


def test_the_same_rows_give_the_same_vectors() -> None:
    x = features(50, 20)
    first, second = (apply_pca(fit_pca(x, config(6), 3), x) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_vector_does_not_depend_on_its_batch() -> None:
    x = features(50, 20)
    pca = fit_pca(x, config(6), 0)
    np.testing.assert_allclose(apply_pca(pca, x[7:8]), apply_pca(pca, x)[7:8], atol=1e-6)
