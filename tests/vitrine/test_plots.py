import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from vitrine.plots import cluster_sizes, scree

BLUE = (0x2F, 0x5D, 0x8A)
LIGHT_BLUE = (0xB9, 0xCD, 0xE0)


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return image.convert("RGB")


def area(png: bytes, color: tuple[int, int, int]) -> int:
    """Pixels of exactly this colour."""
    return int((np.asarray(opened(png)) == color).all(axis=2).sum())


def ink(png: bytes) -> int:
    """Pixels that are dark enough to be text."""
    return int((np.asarray(opened(png)).max(axis=2) < 80).sum())


def shares(n: int) -> np.ndarray:
    falling = 0.9 ** np.arange(n)
    return falling / falling.sum()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 2, 10, 256])
def test_scree_is_a_picture(n: int) -> None:
    png = scree(shares(n))
    assert opened(png).size == (1200, 840)
    assert area(png, BLUE) > 1000


def test_scree_marks_only_what_is_reached() -> None:
    text = [ink(scree(share * shares(30))) for share in (0.79, 0.89, 0.94, 0.99)]
    assert (np.diff(text) > 200).all()


@pytest.mark.filterwarnings("error")
def test_scree_of_no_variance() -> None:
    assert opened(scree([0.0])).size == (1200, 840)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("sizes", "dominant"),
    [
        ([5], {}),
        ([9, 4, 1], {0: ("chair", 7), 2: ("sofa", 1)}),
        ([9, 4], {0: ("椅子 стул", 9), 1: ("$\\frac{ _x^$ and a very long label without an end", 2)}),
    ],
)
def test_cluster_sizes_is_a_picture(sizes: list[int], dominant: dict[int, tuple[str, int]]) -> None:
    png = cluster_sizes(sizes, dominant)
    assert opened(png).width == 1200
    assert area(png, BLUE) > 1000


def test_cluster_sizes_show_the_share_of_the_dominant_label() -> None:
    little, much = (cluster_sizes([10, 10], {0: ("a", count), 1: ("b", count)}) for count in (2, 8))
    assert area(much, BLUE) / area(little, BLUE) == pytest.approx(4, rel=0.1)
    assert area(little, LIGHT_BLUE) / area(much, LIGHT_BLUE) == pytest.approx(4, rel=0.1)


def test_cluster_sizes_grow_with_the_clusters_up_to_a_limit() -> None:
    heights = [opened(cluster_sizes([1] * n, {})).height for n in (10, 40, 60, 5000)]
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_the_same_values_give_the_same_bytes_in_any_thread() -> None:
    expected = scree(shares(20)), cluster_sizes([3, 2], {0: ("a", 2)})
    with ThreadPoolExecutor(4) as pool:
        plots = list(pool.map(lambda _: (scree(shares(20)), cluster_sizes([3, 2], {0: ("a", 2)})), range(4)))
    assert plots == [expected] * 4
