"""Which paired rows are used, and their folds: repeats of one sample always together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FEWEST = 6  # samples of both instruments from which maps can be told apart at all
FOLDS = 10
MOST = 1000  # rows that closed forms are made of: their cost is cubic in them


def left_out(groups: NDArray[np.float64], seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to learn from and rows left out, for each of at most `FOLDS` folds.

    Parameters
    ----------
    groups : (sample,) array of whole numbers
        Rows of one group are left out together.
    seed : int

    Examples
    --------
    >>> sorted(asked.tolist() for _, asked in left_out(np.array([0, 0, 1]), seed=0))
    [[0, 1], [2]]
    """
    names, codes = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    for fold in range(min(FOLDS, len(order))):
        asked = np.isin(codes, order[fold::FOLDS])
        yield np.flatnonzero(~asked), np.flatnonzero(asked)


def part_of(there: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """At most `MOST` of the rows that are there, chosen by the seed, in their order.

    >>> part_of(np.array([True, False, True]), seed=0)
    array([0, 2])
    """
    chosen = np.flatnonzero(there)
    if len(chosen) <= MOST:
        return chosen
    return np.sort(np.random.default_rng(seed).choice(chosen, MOST, replace=False))
