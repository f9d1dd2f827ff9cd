import time

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from vitrine.clustering import fit_kmeans
from vitrine.config import ClusteringConfig, ReductionConfig
from vitrine.errors import VitrineError
from vitrine.models import dump_model, load_model
from vitrine.reduction import apply_pca, fit_pca

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def pca() -> PCA:
    return fit_pca(X, ReductionConfig(n_components=3), 0)


def kmeans() -> KMeans:
    return fit_kmeans(X, ClusteringConfig(n_clusters=4), 0)


def test_a_pca_comes_back_as_it_was() -> None:
    loaded = load_model(dump_model(pca()))
    assert isinstance(loaded, PCA)
    np.testing.assert_array_equal(apply_pca(loaded, X), apply_pca(pca(), X))


def test_a_kmeans_comes_back_as_it_was() -> None:
    loaded = load_model(dump_model(kmeans()))
    assert isinstance(loaded, KMeans)
    np.testing.assert_array_equal(loaded.predict(X), kmeans().predict(X))
    np.testing.assert_array_equal(loaded.labels_, kmeans().labels_)


@pytest.mark.parametrize("fit", [pca, kmeans])
def test_the_same_model_gives_the_same_bytes(fit, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    first = dump_model(fit())
    later = time.localtime(time.time() + 3600)
    monkeypatch.setattr(time, "localtime", lambda *_: later)
    assert dump_model(fit()) == first


def test_another_model_gives_other_bytes() -> None:
    assert dump_model(pca()) != dump_model(fit_pca(X[1:], ReductionConfig(n_components=3), 0))


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(VitrineError, match="Ridge"):
        load_model(skops.io.dumps(Ridge().fit(X, X[:, 0])))


class Stranger:
    pass


def test_a_type_that_skops_does_not_trust_is_refused() -> None:
    model = pca()
    model.random_state = Stranger()
    with pytest.raises(VitrineError, match="Stranger"):
        load_model(skops.io.dumps(model))


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_damaged_bytes_are_refused(keep: float) -> None:
    data = dump_model(pca())
    with pytest.raises(VitrineError, match="not a readable model"):
        load_model(data[: int(keep * len(data))])


def test_a_flipped_byte_is_noticed() -> None:
    data = bytearray(dump_model(pca()))
    position = data.index(b"NUMPY") + 150
    data[position] ^= 0xFF
    with pytest.raises(VitrineError, match="not a readable model"):
        load_model(bytes(data))
