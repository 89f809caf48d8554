"""Posteriors of three-component compositions in the triangle of their simplex."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.stats import gaussian_kde

from probspec.errors import QueryError, explain
from probspec.plots.style import GUIDE_LINE, Array, names_of, percent, rows, styles, typeset, unit_of

CORNERS = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
_SIDES = ("center", "left", "right")  # alignment of the tick labels along the three edges
_LINES = ("-", "--", ":")


def ternary(
    ax: Axes,
    draws: ArrayLike,
    truth: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    *,
    probs: tuple[float, ...] = (0.5, 0.9),
    unit: str = "",
    zoom: bool = False,
    color: str = "0.3",
) -> Axes:
    """Posterior of one three-component composition: draws, and the regions of highest density.

    Parameters
    ----------
    ax : Axes
    draws : (..., 3)
        Compositions that sum to 1.
    truth : (3,), optional
        Marked with a cross.
    names : sequence of 3 str, optional
        Components, where `draws` carries none.
    probs : tuple of float
        Probabilities of the regions.
    unit : str
        Of the components, such as "mass fraction", where `draws` carries none.
    zoom : bool
        Show only a small triangle that holds everything, instead of the whole simplex.
    color : str
        Of draws and regions.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If the components are not three, or names or unit are missing.
    """
    table = rows(draws)
    if table.shape[1] != 3:
        raise QueryError(explain("ternary", f"{table.shape[1]} components", expected="3", fix="use intervals"))
    marked = table if truth is None else np.vstack([table, np.asarray(truth, float)])
    frame = _Triangle.around(marked) if zoom else _Triangle(np.zeros(3), 0.2)
    frame.draw(ax, names_of(draws, names), unit_of(draws, unit))
    _regions(ax, frame.place(table), probs, color)
    if truth is not None:
        x, y = frame.place(np.asarray(truth, float))
        ax.plot(x, y, "P", color="black", markeredgecolor="white", markersize=9, label="true", zorder=4)
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14))  # below the edge that has room
    return ax


class _Triangle(NamedTuple):
    """Window on the simplex: each component runs from its `least` upwards, with grid lines every `step`."""

    least: Array
    step: float

    @classmethod
    def around(cls, compositions: Array) -> _Triangle:
        """Window that holds all compositions, on the finest grid that needs at most 8 steps."""
        for step in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1):
            window = cls((np.ceil(compositions.min(0) / step) - 1).clip(0) * step, step)  # below, never at, the least
            if window.steps <= 8:
                return window
        return cls(np.zeros(3), 0.2)

    @property
    def steps(self) -> int:
        """Number of grid steps along an edge."""
        return round((1 - self.least.sum()) / self.step)

    def place(self, compositions: Array) -> Array:
        """Compositions (..., 3) -> places in the plane (..., 2)."""
        return (compositions - self.least) / (self.steps * self.step) @ CORNERS

    def draw(self, ax: Axes, names: Sequence[str], unit: str) -> None:
        """Draw edges and, for each component in its colour, grid lines, ticks and a title along one edge."""
        ax.set_aspect("equal")
        ax.set_axis_off()
        ax.plot(*CORNERS[[0, 1, 2, 0]].T, color="0.2", linewidth=1)
        decimals = len(f"{self.step:g}") - 2
        for k, style in enumerate(styles(names)):
            corner, foot, head = CORNERS[k], CORNERS[(k + 1) % 3], CORNERS[(k + 2) % 3]
            outward = foot - head  # grid lines of component k run parallel to the edge that faces its corner
            for n in range(self.steps + 1):
                t = n / self.steps
                start, end = foot + t * (corner - foot), head + t * (corner - head)
                ax.plot(*np.array([start + 0.015 * outward, end]).T, **GUIDE_LINE)
                value = f"{self.least[k] + n * self.step:.{decimals}f}"
                _write(ax, value, start, 10 * outward, style.color, 8, ha=_SIDES[k])
            normal = (corner + foot) / 2 - CORNERS.mean(0)
            normal *= (34, 42, 42)[k] / np.linalg.norm(normal)
            title = f"{style.name} ({typeset(unit)})"
            _write(ax, title, (corner + foot) / 2, normal, style.color, 10, rotation=(0, -60, 60)[k])


def _write(
    ax: Axes, text: str, at: Array, offset: Array, color: str, size: float, *, ha: str = "center", rotation: float = 0
) -> None:
    """Write `text` at an `offset` in points from a place in the plane."""
    x, y = offset
    ax.annotate(
        text, (at[0], at[1]), (x, y), textcoords="offset points", color=color, fontsize=size,
        ha=ha, va="center", rotation=rotation, rotation_mode="anchor",
    )  # fmt: skip


def _regions(ax: Axes, places: Array, probs: Sequence[float], color: str) -> None:
    """Draws and, unless they lie on a line, the regions of highest density that hold `probs` of them."""
    if len(places) < 10 or np.linalg.matrix_rank(np.cov(places.T), tol=1e-12) < 2:
        ax.plot(*places.T, "o", color=color, markersize=3, label="posterior draws")
        return
    ax.plot(*places.T, ".", color=color, markersize=1.5, alpha=0.25, markeredgewidth=0, zorder=1)
    density = gaussian_kde(places.T, bw_method=1.5 * len(places) ** (-1 / 6))  # 1.5 x Scott: steadier outlines
    least, most = places.min(0), places.max(0)
    margin = 0.2 * (most - least)
    x, y = np.meshgrid(*np.linspace(least - margin, most + margin, 120).T)
    inside = (y >= 0) & (y <= np.sqrt(3) * np.minimum(x, 1 - x))
    height = np.where(inside, density(np.stack([x.ravel(), y.ravel()])).reshape(x.shape), 0)
    at_draws = density(places.T)
    for prob, line in zip(sorted(probs), cycle(_LINES), strict=False):
        level = np.quantile(at_draws, 1 - prob)
        ax.contourf(x, y, height, [level, np.inf], colors=[color], alpha=0.3, zorder=2)
        ax.contour(x, y, height, [level], colors=[color], linewidths=1, linestyles=line, zorder=3)
        ax.plot([], [], line, color=color, linewidth=1, label=f"{percent(prob)} posterior region")
