"""Classes: what is taken for what, how honest the probabilities are, and where things lie in a latent plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from probspec.errors import QueryError, explain
from probspec.metrics import calibration_table, expected_calibration_error
from probspec.plots.style import GUIDE_LINE, Array, Style, diagonal, finish, percent, styles

FAINT = 0.35  # exponent of the colour scale of shares, so that a share of 1 % is seen


def confusion(ax: Axes, table: pd.DataFrame) -> Axes:
    """Numbers of rows by true and predicted class; the colour is the share of the true class.

    Parameters
    ----------
    ax : Axes
        Seventeen classes need about 7 x 6 inches.
    table : DataFrame
        True classes down, predicted ones across, as `probspec.cross_validation.NestedScores.confusion`.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If the table is empty or holds anything but numbers of rows.
    """
    counts = table.to_numpy(float)
    if not counts.size or not (counts >= 0).all():
        raise QueryError(explain("table", f"shape {counts.shape}", expected="numbers of rows, true classes down"))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = ax.imshow(shares, cmap="Blues", norm=PowerNorm(FAINT, 0, 1), aspect="auto")
    size = _text_size(ax, table)
    for (i, j), n in np.ndenumerate(counts):
        if n:
            ink = "white" if shares[i, j] > 0.5 else "black"
            ax.text(j, i, f"{n:.0f}", ha="center", va="center", color=ink, fontsize=size)
    ax.set_xticks(
        range(counts.shape[1]), [str(c) for c in table.columns], rotation=45, ha="right", rotation_mode="anchor"
    )
    ax.set_yticks(range(counts.shape[0]), [str(c) for c in table.index])
    ax.set(xlabel="Predicted class", ylabel="True class")
    bar = ax.figure.colorbar(image, ax=ax, label="Share of the true class", ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
    return ax


def _text_size(ax: Axes, table: pd.DataFrame) -> float:
    """Points in which the longest number fits into its cell, 8 at most."""
    longest = max(len(f"{n:.0f}") for n in table.to_numpy().ravel())
    inches = ax.get_window_extent().width / ax.figure.dpi
    inches = max(inches - 1.1, 0.3 * inches)  # names and the colour bar take a share
    return min(8.0, 72 * inches / table.shape[1] / (0.72 * longest))


def reliability(
    ax: Axes,
    proba: ArrayLike,
    y: ArrayLike,
    classes: Sequence[str] | NDArray | None = None,
    *,
    bins: int = 15,
    prob: float = 0.9,
) -> Axes:
    """Share of rows named rightly against the confidence, in bins of equal width, with n of each bin above it.

    Parameters
    ----------
    ax : Axes
    proba : (sample, class) array, probability
    y : (sample,) array
        True classes: names where `classes` is given, else column numbers.
    classes : (class,) array, optional
        Names of the columns.
    bins : int
    prob : float
        Probability of the bars: equal-tailed intervals of the share under Jeffreys' prior, Beta(1/2, 1/2).

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If rows of `proba` are no probabilities, lengths differ, or a true class has no column.
    QueryError
        If `prob` is not between 0 and 1.
    """
    if not 0 < prob < 1:
        raise QueryError(explain("prob", f"{prob}", expected="a probability between 0 and 1, such as 0.9"))
    table = calibration_table(proba, y, classes, bins)
    n, right = table["n"].to_numpy(), (table["n"] * table["accuracy"]).round().to_numpy()
    ends = beta.ppf(np.array([[1 - prob], [1 + prob]]) / 2, right + 0.5, n - right + 0.5)
    lower, upper = np.where([right == 0, right == n], [[0], [1]], ends)  # reaches the edge where all or none are right
    style = next(styles(["share"]))
    ax.vlines(table["confidence"], lower, upper, color=style.color, linewidth=1.2, label=f"{percent(prob)} interval")
    ax.plot(table["confidence"], table["accuracy"], "o", color=style.color, ms=4, clip_on=False, label="share right")
    diagonal(ax, 0, 1)
    for centre, count in zip((table["lower"] + table["upper"]) / 2, n, strict=True):
        ax.text(centre, 1.02, f"{count:,}", transform=ax.get_xaxis_transform(), rotation=90, ha="center", fontsize=7)
    ax.text(-0.02, 1.07, "n =", transform=ax.transAxes, ha="right", fontsize=7)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="Confidence (largest probability)", ylabel="Share of rows named rightly")
    return finish(ax, title=f"ECE ({bins} bins) {expected_calibration_error(proba, y, classes, bins):.4f}")


def selective(
    ax: Axes,
    coverage: ArrayLike | Mapping[str, ArrayLike],
    accuracy: ArrayLike | Mapping[str, ArrayLike],
) -> Axes:
    """Accuracy of the rows that are kept when the least confident are set aside.

    Parameters
    ----------
    ax : Axes
    coverage, accuracy : (cut-off,) array, or mapping of name -> such arrays, share
        As from `probspec.metrics.selective_accuracy`; mappings of the same names draw several curves.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If lengths or names differ.
    """
    kept = coverage if isinstance(coverage, Mapping) else {"": coverage}
    right = accuracy if isinstance(accuracy, Mapping) else {"": accuracy}
    if list(kept) != list(right) or any(np.shape(kept[name]) != np.shape(right[name]) for name in kept):
        raise QueryError(explain("selective", "coverage and accuracy differ", expected="equal names and lengths"))
    for style in styles(tuple(kept)):
        x, values = np.asarray(kept[style.name], float), np.asarray(right[style.name], float)
        ax.plot(x, values, drawstyle="steps-pre", color=style.color, linewidth=1.4, label=style.name)
        ax.plot(x[-1:], values[-1:], style.marker, color=style.color, markersize=5, clip_on=False)
    ax.set(xlim=(0, 1), xlabel="Coverage (share of rows kept)", ylabel="Accuracy of rows kept")
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.axhline(1, **GUIDE_LINE)
    return finish(ax) if list(kept) != [""] else _unframed(ax)


def latent_map(
    ax: Axes, latent: ArrayLike, labels: ArrayLike, *, unassigned: str | int = -1, names: Sequence[str] | None = None
) -> Axes:
    """Rows in a two-dimensional latent space, a colour and marker for each class or cluster.

    Parameters
    ----------
    ax : Axes
    latent : (sample, 2) array
    labels : (sample,) array
        Class names or cluster numbers.
    unassigned : str or int
        Label of rows that belong nowhere, drawn in grey beneath the others.
    names : sequence of str, optional
        All classes, in the order of their colours, so that a class keeps its own in every figure; the labels that
        occur, sorted, where left out.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If shapes differ, or a label is not among the names.
    """
    points, given = np.asarray(latent, float), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or given.shape != points.shape[:1]:
        problem = f"shapes {points.shape} and {given.shape}"
        raise QueryError(explain("latent and labels", problem, expected="(sample, 2) and (sample,)"))
    found = [label for label in np.unique(given).tolist() if label != unassigned]
    names = found if names is None else list(names)
    if not set(found) <= set(names):
        raise QueryError(explain("names", f"lack {sorted(set(found) - set(names), key=str)}", expected="every label"))
    loose = given == unassigned
    if loose.any():
        _scatter(ax, points[loose], Style("unassigned", "0.75", "."), alpha=1.0)
    for style in styles(names):
        if style.name in found:
            _scatter(ax, points[given == style.name], style, alpha=0.6)
    ax.set(xlabel="Latent dimension 1", ylabel="Latent dimension 2")
    return finish(ax, place="right")


def _scatter(ax: Axes, points: Array, style: Style, alpha: float) -> None:
    ax.plot(*points.T, style.marker, color=style.color, ms=3, mew=0, alpha=alpha, rasterized=True)
    ax.plot([], [], style.marker, color=style.color, ms=6, label=str(style.name))  # in the legend larger, and opaque


def _unframed(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax
