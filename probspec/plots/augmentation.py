"""Generated spectra beside real ones: channel by channel, and by their nearest real neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from probspec.errors import QueryError, explain
from probspec.plots.style import PALETTE, TRUTH, finish, heading, quantity_of, unit_of

STATISTICS = ("mean", "sd", "both")
KINDS = {"generated": (PALETTE[0], "o"), "real": (PALETTE[1], "^")}
PADDING = 0.3  # decades around the points


def channel_statistics(
    ax: Axes,
    axis: ArrayLike,
    table: pd.DataFrame,
    statistic: str = "both",
    *,
    axis_name: str = "",
    axis_unit: str = "",
    quantity: str = "",
    unit: str = "",
) -> Axes:
    """Mean and standard deviation of each channel, over real spectra (dark) and over generated ones (dashed colour).

    Parameters
    ----------
    ax : Axes
    axis : (channel,)
        A DataArray brings its name and unit.
    table : DataFrame, indexed by channel
        As `probspec.augmentation.channel_statistics` gives it.
    statistic : {"both", "mean", "sd"}
        "both" puts them in one picture, where the standard deviation is of the mean's size.
    axis_name, axis_unit, quantity, unit : str
        Labels where the axis carries none, and of the spectra.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If lengths differ, the statistic is unknown, or an axis has neither name nor unit.
    """
    x = np.asarray(axis, float)
    if x.shape != (len(table),):
        problem = f"axis {x.shape}, table of {len(table)} channels"
        raise QueryError(explain("channel_statistics", problem, expected="the same channels"))
    if statistic not in STATISTICS:
        raise QueryError(explain(f"statistic={statistic!r}", "unknown", expected=" or ".join(map(repr, STATISTICS))))
    words = {"mean": "mean", "sd": "standard deviation"}
    for k, (short, word) in enumerate(words.items()):
        if statistic in ("both", short):
            ax.plot(x, table[f"real_{short}"], color=("0.15", "0.6")[k], linewidth=2.2, label=f"real, {word}")
            color = (PALETTE[1], PALETTE[0])[k]
            ax.plot(x, table[f"generated_{short}"], "--", color=color, linewidth=1.2, label=f"generated, {word}")
    ax.set_xlim(x.min(), x.max())
    ax.set_xlabel(heading(quantity_of(axis, axis_name), unit_of(axis, axis_unit)))
    ax.set_ylabel(heading(quantity, unit_of(quantity, unit)) if quantity else "")
    return finish(ax)


def neighbour_distances(
    ax: Axes, generated: pd.DataFrame, real: pd.DataFrame, *, quantity: str = "", unit: str = ""
) -> Axes:
    """Distance of each spectrum to its nearest real neighbour in spectrum, against that in concentration.

    Generated spectra that lie among the real ones are as far from them as these are from each other. The medians are
    drawn as lines. The nearest of a hundred, and distances of 0, are drawn no further out than half of the rest.

    Parameters
    ----------
    ax : Axes
    generated, real : DataFrame
        As `probspec.augmentation.nearest_neighbours` gives them, with columns `chemical` and `spectral`.
    quantity, unit : str
        Of the spectra, such as "absorbance", "a.u.".

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If a table is empty, or quantity or unit is missing.
    """
    tables = {"generated": generated, "real": real}
    values = {kind: table[["chemical", "spectral"]].to_numpy(float) for kind, table in tables.items()}
    every = np.concatenate(list(values.values()))
    if not all(map(len, values.values())) or not (every > 0).any(0).all():
        raise QueryError(explain("neighbour_distances", "no distance above 0", expected="distances of both kinds"))
    least = np.array([0.5 * np.quantile(column[column > 0], 0.01) for column in every.T])
    for kind, points in values.items():
        color, marker = KINDS[kind]
        x, y = np.maximum(points, least).T
        alpha = min(1.0, max(0.15, 60 / len(points)))
        ax.plot(x, y, marker, color=color, markersize=4, alpha=alpha, markeredgewidth=0, rasterized=len(x) > 500)
        ax.plot([], [], marker, color=color, markersize=5, label=f"{kind} (n = {len(points)})")
        ax.axvline(np.median(x), color=color, linewidth=0.8, linestyle="--", zorder=0)
        ax.axhline(np.median(y), color=color, linewidth=0.8, linestyle="--", zorder=0)
    ax.plot([], [], "--", color=TRUTH, linewidth=0.8, label="medians")
    ax.set(xscale="log", yscale="log")
    low, high = least / 10**PADDING, every.max(0) * 10**PADDING
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    for side, decades in zip((ax.xaxis, ax.yaxis), np.log10(high / low), strict=True):
        side.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        side.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Distance to nearest concentrations (share of range)")
    ax.set_ylabel(heading(f"distance to nearest {quantity_of(quantity, quantity)}", unit_of(quantity, unit)))
    return finish(ax)
