"""Which rows train and which are held out; rows of one group are never parted.

Neighbouring rows of one sample, series or specimen are alike, so that splits by single rows flatter a model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from probspec.errors import DataError, explain

Index = NDArray[np.int64]

RATIO = 1e-6  # relative difference of two ratios, below which they are the same


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


def related(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number the families of rows, (sample,), that were the same composition or made from one another.

    Adding one component to a mixture leaves the ratio of any two others as it was, so that rows with an exactly equal
    ratio come from one series of additions, and err together. Where that would join more than a third of the rows,
    the compositions lie on a grid, and only equal ones are put together.

    Parameters
    ----------
    values : (sample, component) array
    """
    _, first, same = np.unique(values.round(6), axis=0, return_index=True, return_inverse=True)
    same = first.argsort().argsort()[same.reshape(-1)]  # as they are met, whatever the order of components
    joined = connected_components(csr_array(_share_ratio(values) | (same[:, None] == same)), directed=False)[1]
    return same if np.bincount(joined).max() > len(values) / 3 else joined.astype(np.int64)


def _share_ratio(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    logs = np.log(np.where(values > 0, values, np.nan))
    share = np.zeros((len(values), len(values)), dtype=bool)
    for one in range(values.shape[1] if values.shape[1] > 2 else 0):
        for other in range(one):
            ratio = logs[:, one] - logs[:, other]
            share |= np.abs(ratio[:, None] - ratio) < RATIO
    return share
