"""Plots of a run as PNG bytes. Figures are made without pyplot, whose global state threads would share."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vitrine.fonts import printable

_STRONG, _SOFT, _FAINT, _GRID = "#2f5d8a", "#b9cde0", "#8a8a8a", "#e6e6e6"
_WIDTH_INCHES, _DPI = 8.0, 150

_MILESTONES = (80, 90, 95)
"""Per cent of the variance."""

_MOST_CLUSTERS = 60
"""More would not be read, and a picture has a greatest height."""

_MOST_LETTERS = 24
"""Of a label beside its bar."""


def scree(explained_variance_ratio: ArrayLike) -> bytes:
    """Plot the share of variance of every principal component, and what the first ones keep together.

    Takes shares between 0 and 1 of shape (k,), largest first. The numbers of components that keep 80, 90 and 95 % are
    marked, where they are reached. Returns a PNG of 1200 by 840 pixels.
    """
    shares = 100 * np.asarray(explained_variance_ratio, dtype=np.float64)
    kept = np.cumsum(shares)
    number = np.arange(1, len(shares) + 1)
    figure = _figure(height=5.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))

    above.set_title(f"PCA: {len(shares)} components keep {kept[-1]:.1f} % of the variance", loc="left", pad=12)
    above.fill_between(number, kept, color=_SOFT, alpha=0.35, linewidth=0)
    above.plot(number, kept, color=_STRONG, linewidth=2, marker="o" if len(shares) < 2 else None)
    above.grid(axis="y", color=_GRID)
    above.set(ylabel="Variance kept together (%)", ylim=(0, 105))
    for milestone in _MILESTONES:
        _mark(above, kept, milestone)

    below.bar(number, shares, width=1 if len(shares) > 40 else 0.8, color=_STRONG, linewidth=0)
    below.grid(axis="y", color=_GRID)
    below.set(xlabel="Principal component", ylabel="Variance of each (%)", xlim=(0.5, len(shares) + 0.5))
    below.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return _png(figure)


def cluster_sizes(sizes: Sequence[int], dominant: Mapping[int, tuple[str, int]]) -> bytes:
    """Plot the number of images of every cluster, and how many of them bear its most frequent label.

    `sizes` is by cluster number; `dominant` gives a cluster's most frequent label and how many images bear it, and is
    empty where there are no labels. Returns a PNG that is 1200 pixels wide and grows with the number of
    clusters, of which it shows the first 60.
    """
    shown = list(sizes[:_MOST_CLUSTERS])
    numbers = range(len(shown))
    counts = [dominant[number][1] if number in dominant else 0 for number in numbers]
    figure = _figure(height=1.6 + 0.26 * max(4, len(shown)))
    axes = figure.subplots()
    title = f"{sum(sizes)} images in {len(sizes)} clusters"
    if len(shown) < len(sizes):
        title += f", of which the first {len(shown)}"
    axes.set_title(title, loc="left", pad=26 if dominant else 12)
    axes.barh(numbers, shown, color=_SOFT if dominant else _STRONG, label="other images")
    if dominant:
        axes.barh(numbers, counts, color=_STRONG, label="the cluster's most frequent label")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.012, 0.995), ncols=2, frameon=False, reverse=True, fontsize=9)
    for number, size in enumerate(shown):
        axes.annotate(
            _caption(size, dominant.get(number)),
            (size, number),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            parse_math=False,
        )
    axes.set(xlabel="Images", ylabel="Cluster", xlim=(0, 1.25 * max(shown)), ylim=(len(shown) - 0.4, -0.6))
    axes.set_yticks(numbers)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _png(figure)


def _caption(size: int, dominant: tuple[str, int] | None) -> str:
    if dominant is None:
        return str(size)
    label, count = printable(dominant[0]), dominant[1]
    if len(label) > _MOST_LETTERS:
        label = label[: _MOST_LETTERS - 1] + "…"
    return f"{size}   {label} {count / size:.0%}"


def _mark(axes: Axes, kept: NDArray[np.float64], percent: int) -> None:
    if kept[-1] < percent:
        return
    number = int(np.searchsorted(kept, percent)) + 1
    axes.plot([0, number, number], [percent, percent, 0], color=_FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(number, kept[number - 1], "o", color=_STRONG, markersize=5)
    near_edge = number > 0.8 * len(kept)
    axes.annotate(
        f"{percent} % with {number}",
        (number, percent),
        (-6 if near_edge else 6, -12),
        textcoords="offset points",
        ha="right" if near_edge else "left",
        fontsize=9,
    )


def _figure(height: float) -> Figure:
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_FAINT)
        axes.set_axisbelow(True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
