"""Gaps of a table of oxides, filled from similar analyses, labels unseen.

Laboratories leave oxides out that they do not expect. So among the analyses that report what a row reports, those are
the best donors that are like it there and hold little of what it lacks (the second counts for little: a gap may also
hide a main oxide). And an analysis cannot total more than 100 wt%: no donor gives more than is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Array = NDArray[np.float64]

LITTLE = 0.05  # weight of a donor's squared root of what the row lacks, against that of what both report
ASKED = 60  # nearest analyses, among which
GIVING = 5  # the first that fit the total give their median
FEWEST = 50  # donors, below which those that report less are asked as well
FULL = 101.0  # wt%, what a total may come to


@dataclass(frozen=True)
class Donors:
    """Analyses that others are completed from.

    Parameters
    ----------
    roots : (donor, oxide) array, square root of wt%
        NaN where not reported.

    Examples
    --------
    >>> donors = Donors(np.sqrt([[40.0, 10, 50], [41, 9, 50], [40, 55, 4]]))
    >>> (donors.complete(np.sqrt([[40.0, 10, np.nan]])) ** 2).round().tolist()
    [[40.0, 10.0, 50.0]]
    """

    roots: Array

    def complete(self, roots: Array) -> Array:
        """Fill the gaps of square roots : (sample, oxide); what nobody reports becomes 0."""
        filled = roots.copy()
        room = np.maximum(FULL - np.nansum(roots**2, 1), 1.0)
        patterns, which = np.unique(np.isnan(roots), axis=0, return_inverse=True)
        for number, missing in enumerate(patterns):
            rows = np.flatnonzero(which.ravel() == number)
            for oxide in np.flatnonzero(missing):
                filled[rows, oxide] = self._given(roots[rows], missing, oxide, room[rows])
        return filled

    def _given(self, roots: Array, missing: NDArray[np.bool_], oxide: int, room: Array) -> Array:
        """Values of one oxide for rows with the same gaps, (sample,)."""
        donors = self._able(missing, oxide)
        if not len(donors):
            return np.zeros(len(roots))
        known = _weighted(donors, missing)
        nearest = KDTree(known).query(_weighted(roots, missing), k=np.arange(1, min(ASKED, len(donors)) + 1))[1]
        values = donors[nearest, oxide]
        fits = np.maximum(values, 0) ** 2 <= room[:, None]
        values = np.where(fits & (fits.cumsum(1) <= GIVING), values, np.nan)
        values[~fits.any(1), 0] = 0.0
        return np.nanmedian(values, 1)

    def _able(self, missing: NDArray[np.bool_], oxide: int) -> Array:
        """Donors that report the oxide, and what the rows report."""
        able = self.roots[~np.isnan(self.roots[:, oxide])]
        alike = able[~np.isnan(able[:, ~missing]).any(1)]
        return alike if len(alike) >= FEWEST else able


def _weighted(roots: Array, missing: NDArray[np.bool_]) -> Array:
    """Columns by which donors are sought; what is not reported counts as 0."""
    return np.nan_to_num(roots) * np.where(missing, np.sqrt(LITTLE), 1.0)
