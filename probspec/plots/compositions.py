"""Predicted compositions beside the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from probspec.errors import QueryError, explain
from probspec.plots.style import (
    GUIDE_LINE,
    PALETTE,
    TRUTH,
    diagonal,
    finish,
    heading,
    names_of,
    percent,
    quantity_of,
    styles,
    unit_of,
)


def intervals(
    ax: Axes,
    mean: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    truth: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    prob: float = 0.9,
    quantity: str = "",
    unit: str = "",
    difference: bool = False,
) -> Axes:
    """Predicted abundances with their intervals against the true ones, one colour and marker a component.

    Parameters
    ----------
    ax : Axes
    mean, lower, upper, truth : (sample, component)
        In one unit; a DataArray `mean` brings names, quantity and unit.
    names : sequence of str, optional
        Components, where `mean` carries none.
    prob : float
        Probability of the intervals given.
    quantity, unit : str
        Such as "abundance", "mass fraction", where `mean` carries none.
    difference : bool
        Draw predicted - true, for intervals too narrow to be seen on the range of the abundances.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If shapes differ, or names, quantity or unit are missing.
    """
    centre, low, high, true = (np.asarray(a, float) for a in (mean, lower, upper, truth))
    if len({a.shape for a in (centre, low, high, true)}) > 1 or centre.ndim != 2:
        problem = f"shapes {centre.shape}, {low.shape}, {high.shape}, {true.shape}"
        raise QueryError(explain("intervals", problem, expected="(sample, component) four times"))
    base = true if difference else np.zeros_like(true)
    for k, style in enumerate(styles(names_of(mean, names))):
        x, y = true[:, k], np.stack([low, centre, high])[:, :, k] - base[:, k]
        ax.vlines(x, y[0], y[2], color=style.color, linewidth=0.8, alpha=0.6)
        ax.plot(x, y[1], style.marker, color=style.color, markersize=3.5, label=style.name)
    what, unit = quantity_of(mean, quantity), unit_of(mean, unit)
    ax.set_xlabel(heading(f"true {what}", unit))
    if difference:
        ax.axhline(0, **GUIDE_LINE)
        ax.set_ylabel(heading(f"predicted \N{MINUS SIGN} true {what}", unit))
    else:
        diagonal(ax, float(np.nanmin([low, true])), float(np.nanmax([high, true])))
        ax.set_ylabel(heading(f"predicted {what}", unit))
    crowded = difference or centre.shape[1] > len(PALETTE)
    return finish(ax, title=f"mean, {percent(prob)} interval", place="right" if crowded else "best")


def abundance_bars(
    ax: Axes,
    truth: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    names: Sequence[str] | None = None,
    *,
    mean_kl: Mapping[str, float],
    quantity: str = "",
    unit: str = "",
    bounds: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    prob: float = 0.9,
) -> Axes:
    """Predicted abundances of one sample by each method beside the true ones (as in Gemp et al. 2016).

    Parameters
    ----------
    ax : Axes
    truth : (component,)
        True abundances of the sample; a DataArray brings names, quantity and unit.
    predictions : mapping of method -> (component,)
        Predicted abundances of the same sample.
    names : sequence of str, optional
        Components, where `truth` carries none.
    mean_kl : mapping of method -> float, nats
        Mean KL(true || predicted) over all test samples, shown in the legend.
    quantity, unit : str
        Such as "abundance", "mass fraction", where `truth` carries none.
    bounds : mapping of method -> (lower, upper), optional
        Intervals of the methods that have them.
    prob : float
        Probability of those intervals.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If shapes differ, a method has no mean KL, or names or unit are missing.
    """
    true = np.asarray(truth, float)
    for method, predicted in predictions.items():
        if np.shape(predicted) != true.shape or method not in mean_kl:
            problem = f"shape {np.shape(predicted)}, mean_kl {mean_kl.get(method)}"
            raise QueryError(explain(f"predictions[{method!r}]", problem, expected=f"shape {true.shape} and a mean_kl"))
    components, bounds = names_of(truth, names), bounds or {}
    place, width = np.arange(len(true)), 0.8 / (len(predictions) + 1)
    ax.bar(place, true, width, color=TRUTH, label="true")
    for k, (method, predicted) in enumerate(predictions.items()):
        label = f"{method}, mean KL {mean_kl[method]:.4f} nat"
        ax.bar(
            place + (k + 1) * width, np.asarray(predicted, float), width, color=PALETTE[k % len(PALETTE)], label=label
        )
    for k, method in enumerate(predictions):
        if method in bounds:
            _whiskers(ax, place + (k + 1) * width, *bounds[method], label=f"{percent(prob)} interval")
    tilted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, components)) >= 50 else {}
    ax.set_xticks(place + width * len(predictions) / 2, components, **tilted)
    ax.set_ylabel(heading(quantity_of(truth, quantity), unit_of(truth, unit)))
    return finish(ax, place="above")


def _whiskers(ax: Axes, x: ArrayLike, lower: ArrayLike, upper: ArrayLike, label: str) -> None:
    low, high = np.asarray(lower, float), np.asarray(upper, float)
    ax.errorbar(x, (low + high) / 2, (high - low) / 2, fmt="none", ecolor="black", elinewidth=1, label=label)
