"""Pairs of spectra and concentrations, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array

from probspec.errors import DataError, explain

Array = NDArray[np.float64]


def complete_pairs(X: ArrayLike, C: ArrayLike) -> tuple[Array, Array]:
    """Spectra and concentrations, checked."""
    x = check_array(X, dtype=np.float64, ensure_all_finite=False, input_name="X")
    if C is None:
        raise DataError(explain("C", "requires y to be passed, but the target y is None"))
    c = check_array(C, dtype=np.float64, ensure_2d=False, ensure_all_finite=False, input_name="C")
    c = c[:, None] if c.ndim == 1 else c
    if len(x) != len(c):
        raise DataError(explain("C", f"{len(c)} rows beside {len(x)} spectra", expected="a row for each spectrum"))
    for name, table in (("X", x), ("C", c)):
        wrong = np.argwhere(~np.isfinite(table))
        if len(wrong):
            row, column = wrong[0]
            value = "NaN" if np.isnan(table[row, column]) else "infinity"
            problem = f"{value}; pairs must be complete"
            raise DataError(explain(f"{name}[{row}, {column}]", problem, fix=f"leave row {row} out"))
    if len(x) < c.shape[1] + 3:
        problem = f"{len(x)} sample{'s' * (len(x) != 1)}, from which {c.shape[1]} pure spectra cannot be told"
        raise DataError(explain("X", problem, expected=f"{c.shape[1] + 3} or more"))
    for name, table, thing in (("X", x, "channel"), ("C", c, "ion")):
        constant = np.flatnonzero(np.ptp(table, axis=0) == 0)
        if len(constant):
            problem = f"{thing} {constant[0]} is the same in every row ({len(constant)} such)"
            fix = f"{name} = {name}[:, {name}.std(axis=0) > 0]"
            raise DataError(explain(f"{name}[:, {constant[0]}]", problem, fix=fix))
    return x, c
