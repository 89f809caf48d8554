"""Calibration of intervals, and the history of training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.stats import binom

from probspec.plots.style import diagonal, finish, percent, styles, typeset


def calibration(
    ax: Axes,
    nominal: ArrayLike,
    empirical: ArrayLike | Mapping[str, ArrayLike],
    n: int,
    *,
    prob: float = 0.95,
) -> Axes:
    """Share of true values found inside intervals against the share promised.

    Parameters
    ----------
    ax : Axes
    nominal : (level,), probability
    empirical : (level,) or mapping of name -> (level,), share
        Coverage measured; several curves, such as components or methods, where a mapping is given.
    n : int
        Number of independent spectra behind each share.
    prob : float
        Probability of the band in which the share of `n` calibrated, independent intervals falls.

    Returns
    -------
    Axes
    """
    levels = np.asarray(nominal, float)
    curves = empirical if isinstance(empirical, Mapping) else {"measured": empirical}
    grid = np.linspace(0, 1, 1001)
    lower, upper = binom.interval(prob, n, grid)
    band = f"{percent(prob)} binomial band, n = {n}"
    ax.fill_between(grid, np.nan_to_num(lower) / n, upper / n, color="0.88", linewidth=0, zorder=0, label=band)
    for style, share in zip(styles(tuple(curves)), curves.values(), strict=True):
        ax.plot(levels, np.asarray(share, float), style.marker + "-", color=style.color, lw=1.2, ms=4, label=style.name)
    diagonal(ax, 0, 1)
    ax.set(xlabel="Nominal probability of the interval", ylabel="Share of true values inside")
    return finish(ax)


def loss_history(
    ax: Axes,
    terms: Mapping[str, ArrayLike],
    *,
    at: ArrayLike | None = None,
    step: str = "Epoch",
    unit: str = "nats per spectrum",
) -> Axes:
    """Loss terms over training.

    Parameters
    ----------
    ax : Axes
    terms : mapping of name -> (step,)
        Loss terms; validation losses too.
    at : (step,), optional
        Where each entry stands, such as `probspec.training.history.History.epoch`; 1, 2, ... where left out.
    step : str
        What one entry stands for.
    unit : str
        Of the loss.

    Returns
    -------
    Axes
    """
    dashes = ("-", "--", "-.", ":")
    for k, (style, values) in enumerate(zip(styles(tuple(terms)), terms.values(), strict=True)):
        values = np.asarray(values, float)
        steps = np.arange(1, len(values) + 1) if at is None else np.asarray(at)
        line = dashes[k % len(dashes)] if len(values) > 1 else "o"  # a line of one point cannot be seen
        ax.plot(steps, values, line, color=style.color, linewidth=1.4, label=style.name)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel=step, ylabel=f"Loss ({typeset(unit)})")
    return finish(ax)
