"""Folds of whole groups: rows that share a source are never on both sides.

What a row is, and which rows belong together, is checked here once, for all who cut rows into folds.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from probspec.errors import DataError, explain

INDEPENDENT = "rows are independent"
"""What to say in place of groups where rows share no source."""

Codes = NDArray[np.int64]
Splits = list[tuple[Codes, Codes]]


def check_labels(y: ArrayLike, rows: int) -> NDArray:
    """Class names, one for each of `rows` rows and none missing.

    Raises
    ------
    DataError
        If they are not.
    """
    names = np.asarray(y)
    if names.shape != (rows,):
        raise DataError(explain("y", f"shape {names.shape}", expected=f"({rows},), a class name for each row of X"))
    missing = np.flatnonzero(pd.isna(names))
    if len(missing):
        raise DataError(explain(f"y[{missing[0]}]", "no class", fix="leave rows without a class out"))
    names = names.astype(str) if names.dtype == object else names
    if len(np.unique(names)) < 2:
        raise DataError(explain("y", f"only the class '{names[0]}'" if rows else "no rows", expected="two classes"))
    return names


def check_groups(groups: ArrayLike | None, rows: int) -> Codes:
    """Code the groups as numbers, which stand for the same groups and count from 0.

    Parameters
    ----------
    groups : (sample,) array, or "rows are independent"
    rows : int

    Raises
    ------
    DataError
        If there are none, or not one for each row.
    """
    if groups is None:
        problem = "none given; rows of one source would be on both sides, and the scores measure memory of that source"
        raise DataError(explain("groups", problem, fix=f"pass the source of each row, or groups={INDEPENDENT!r}"))
    if isinstance(groups, str):
        if groups != INDEPENDENT:
            raise DataError(explain("groups", f"got {groups!r}", expected=f"one for each row, or {INDEPENDENT!r}"))
        return np.arange(rows)
    if np.shape(groups) != (rows,):
        raise DataError(explain("groups", f"shape {np.shape(groups)}", expected=f"({rows},)"))
    codes = pd.factorize(np.asarray(groups))[0]
    if codes.min(initial=0) < 0:
        raise DataError(explain(f"groups[{codes.argmin()}]", "no group", fix="give the row a group of its own"))
    return codes.astype(np.int64)


def grouped_folds(y: NDArray, groups: Codes, count: int, seed: int) -> Splits:
    """Cut rows into folds of whole groups, the shares of the classes as even as these allow.

    Parameters
    ----------
    y : (sample,) array
        Class names.
    groups : (sample,) int array
        As of `check_groups`.
    count : int
        Folds; a fold that would be empty is left out.
    seed : int

    Returns
    -------
    list of (train, test)
        Row numbers.

    Raises
    ------
    DataError
        If there are fewer groups than folds, or no class has so many rows.

    Examples
    --------
    >>> y, papers = np.array(["quartz", "zircon"] * 4), np.arange(8) // 2
    >>> sorted(test.tolist() for _, test in grouped_folds(y, papers, 2, seed=0))
    [[0, 1, 6, 7], [2, 3, 4, 5]]
    """
    found, most = len(np.unique(groups)), int(np.unique(y, return_counts=True)[1].max())
    if count < 2 or count > found or count > most:
        problem = f"{found} groups and {most} rows in the largest class cannot be cut into folds: {count}"
        raise DataError(explain("groups", problem, expected="two folds or more, and no more than groups or rows"))
    alone = found == len(groups)  # the cutter of groups is slow where each has one row
    cutter = (StratifiedKFold if alone else StratifiedGroupKFold)(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # nothing that could be mended
        splits = cutter.split(y, y, None if alone else groups)
        return [(train, test) for train, test in splits if len(train) and len(test)]


def fixed_folds(folds: ArrayLike, groups: Codes) -> dict[int, tuple[Codes, Codes]]:
    """Read folds that somebody fixed.

    Parameters
    ----------
    folds : (sample,) int array
        Number of the fold in which each row is left out.
    groups : (sample,) int array
        As of `check_groups`.

    Returns
    -------
    dict of fold -> (train, test)
        Row numbers.

    Raises
    ------
    DataError
        If they are no folds, or a group is in two of them.

    Examples
    --------
    >>> fixed_folds([0, 0, 1], np.array([0, 0, 1]))[1]
    (array([0, 1]), array([2]))
    """
    given = np.asarray(folds)
    if given.shape != groups.shape or given.dtype.kind not in "iu" or len(np.unique(given)) < 2:
        problem = f"{given.dtype} of shape {given.shape}"
        raise DataError(explain("folds", problem, expected=f"({len(groups)},) integers, two folds or more"))
    first = np.unique(groups, return_index=True)[1][np.unique(groups, return_inverse=True)[1]]
    torn = np.flatnonzero(given != given[first])
    if len(torn):
        row = torn[0]
        problem = f"rows {first[row]} and {row} are of one group, but in folds {given[first[row]]} and {given[row]}"
        raise DataError(explain("folds", problem, expected="each group in one fold"))
    return {int(k): (np.flatnonzero(given != k), np.flatnonzero(given == k)) for k in np.unique(given)}


def aligned(proba: ArrayLike, columns: NDArray, classes: NDArray) -> NDArray[np.float64]:
    """Put probabilities (sample, column) in the order of `classes`, 0 for those without a column.

    >>> aligned([[0.2, 0.8]], np.array(["quartz", "zircon"]), np.array(["olivine", "quartz", "zircon"]))
    array([[0. , 0.2, 0.8]])
    """
    values, places = np.asarray(proba, float), {name: k for k, name in enumerate(classes.tolist())}
    found = np.zeros((len(values), len(classes)))
    found[:, [places[name] for name in columns.tolist()]] = values
    return found
