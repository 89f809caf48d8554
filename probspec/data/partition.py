"""Which rows train and which are held out; rows of one group are never parted.

Neighbouring rows of one sample, series or specimen are alike, so that splits by single rows flatter a model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from probspec.errors import DataError, explain

Index = NDArray[np.int64]


def hold_out(groups: NDArray[Any], test: float, seed: int) -> NDArray[np.bool_]:
    """Mark about a share `test` of the rows, whole groups at a time.

    Parameters
    ----------
    groups : (sample,) int or str
        Row numbers, where each row is its own group.
    test : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    (sample,) bool array
        True where held out; at least one group is, and at least one is not.

    Raises
    ------
    DataError
        Where there is one group only, or `test` is no share.

    Examples
    --------
    >>> hold_out(np.array([0, 0, 1, 1]), test=0.5, seed=0).sum()
    np.int64(2)
    """
    if not 0 < test < 1:
        raise DataError(explain("test", f"{test} is no share of the rows", expected="a number between 0 and 1"))
    codes, sizes = _groups(groups)
    if len(sizes) < 2:
        problem = f"{len(groups)} rows in one group cannot be parted"
        raise DataError(explain("split", problem, expected="two groups or more", fix="use all rows for training"))
    order = generator(seed).permutation(len(sizes))
    # As many groups of a random order as bring the number of rows closest to what is asked.
    filled = np.cumsum(sizes[order])[:-1]
    count = int(np.argmin(np.abs(filled - test * len(groups)))) + 1
    return np.isin(codes, order[:count])


def folds(groups: NDArray[Any], k: int, seed: int) -> list[tuple[Index, Index]]:
    """Part the rows into `k` folds of about equal size, whole groups at a time.

    Returns
    -------
    list of (train, test)
        Row numbers; every row is in one test part.

    Raises
    ------
    DataError
        Where there are fewer than `k` groups, or `k` is less than 2.
    """
    codes, sizes = _groups(groups)
    if not 2 <= k <= len(sizes):
        raise DataError(explain("k", f"{k} folds", expected=f"from 2 to {len(sizes)}, the number of groups or rows"))
    order = generator(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold, filled = np.empty(len(sizes), dtype=np.int64), np.zeros(k, dtype=np.int64)
    for group in order:
        fold[group] = np.argmin(filled)
        filled[fold[group]] += sizes[group]
    return [(np.flatnonzero(fold[codes] != i), np.flatnonzero(fold[codes] == i)) for i in range(k)]


def generator(*seed: int) -> np.random.Generator:
    """Make a random generator of its own.

    Raises
    ------
    DataError
        Where a seed is not a whole number from 0.
    """
    for part in seed:
        if not isinstance(part, int | np.integer) or part < 0:
            raise DataError(explain("seed", f"{part!r}", expected="a whole number from 0"))
    return np.random.default_rng(seed)


def _groups(groups: NDArray[Any]) -> tuple[Index, Index]:
    """Code of each row's group, and the sizes of the groups."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return codes, sizes
