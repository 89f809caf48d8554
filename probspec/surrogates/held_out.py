"""How far a surrogate is off where it was not taught.

The error of a spectrum is 10 log10(|predicted - true|^2 / |true|^2), in dB; -40 dB is one percent. It is found by
leaving rows out. On a grid whole lines are left out, never two neighbours, so that what remains is a grid. Rows at an
end of a parameter's range are never left out: without them the range is another, and nothing is claimed beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probspec.surrogates.maps import grid_of

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class HeldOutError:
    """Error of predicted spectra of rows that were left out.

    Parameters
    ----------
    median, worst : float, dB
        Over the rows.
    rows : int
        Rows that were left out once or more; of several errors of a row the largest counts.
    of : int
        Rows that were drawn for this; those never left out lie at an end of the range.
    """

    median: float
    worst: float
    rows: int
    of: int

    def __str__(self) -> str:
        if not self.rows:
            return "not measured (every row lies at an end of the range)"
        return f"{self.median:.1f} dB median, {self.worst:.1f} dB worst of {self.rows} held-out spectra"


def decibels(predicted: Array, true: Array) -> Array:
    """Error of each spectrum, (row,), dB.

    Examples
    --------
    >>> decibels(np.array([[1.01, 0.0]]), np.array([[1.0, 0.0]])).round(2)
    array([-40.])
    """
    misfit = ((predicted - true) ** 2).sum(-1) / (true**2).sum(-1)
    return 10 * np.log10(np.maximum(misfit, 1e-30))


def summarise(errors: Array) -> HeldOutError:
    """Sum up errors of rows, NaN where a row was never left out."""
    found = errors[~np.isnan(errors)]
    if not len(found):
        return HeldOutError(float("nan"), float("nan"), 0, len(errors))
    return HeldOutError(float(np.median(found)), float(found.max()), len(found), len(errors))


def folds_of(parameters: Array, count: int, seed: int) -> list[Rows]:
    """Rows to leave out together: lines of a grid, else scattered rows.

    Parameters
    ----------
    parameters : (row, parameter) array
    count : int
        Folds of each axis of a grid, or of scattered rows.
    seed : int
        Of the order in which scattered rows are dealt.
    """
    grid = grid_of(parameters)
    if grid is None:
        return deal(np.flatnonzero(~at_an_end(parameters)), count, seed)
    nodes, order = grid
    rows = order.reshape([len(axis) for axis in nodes])
    return [fold for axis in range(rows.ndim) for fold in _lines(np.moveaxis(rows, axis, 0), count)]


def deal(rows: Rows, count: int, seed: int) -> list[Rows]:
    """Deal rows into folds at random."""
    shuffled = np.random.default_rng(seed).permutation(rows)
    return [np.sort(fold) for fold in np.array_split(shuffled, count) if len(fold)]


def at_an_end(parameters: Array) -> NDArray[np.bool_]:
    """Tell which rows are at an end of the range of some parameter."""
    return ((parameters == parameters.min(0)) | (parameters == parameters.max(0))).any(1)


def _lines(rows: Rows, count: int) -> Sequence[Rows]:
    inner = np.arange(1, len(rows) - 1)
    return [rows[inner[inner % count == fold]].ravel() for fold in range(count) if (inner % count == fold).any()]
