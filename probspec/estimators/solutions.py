"""Pairs of spectra and concentrations, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probspec.errors import DataError, explain
from probspec.estimators.pairs import block, copies

Array = NDArray[np.float64]

SAME = 1e-6
"""Share of the largest value that a channel must vary by, and an ion of its own largest: spectra are float32."""

SMALLEST, LARGEST = 1e-10, 1e15
"""Sizes that spectra and concentrations may have, in whatever unit."""


def complete_pairs(X: ArrayLike, C: ArrayLike) -> tuple[Array, Array]:
    """Check spectra and concentrations.

    Parameters
    ----------
    X : (sample, channel) array
    C : (sample, ion) array, or (sample,) of a single ion
        Negative ones, as by a correction for a blank, are taken as they are.

    Raises
    ------
    DataError
        Naming the argument and the index of what is wrong; the pure spectra of the ions must be told by the pairs.
    """
    x = block(X, "X")
    if C is None:
        raise DataError(explain("C", "requires y to be passed, but the target y is None"))
    c = block(C, "C", one_column=True)
    if len(x) != len(c):
        raise DataError(explain("C", f"{len(c)} rows beside {len(x)} spectra", expected="a row for each spectrum"))
    _check_variety(x, c)
    _check_variation("X", x, "channel", "")
    _check_variation("C", c, "ion", "0")
    return x, c


def _check_variety(x: Array, c: Array) -> None:
    """Refuse pairs that leave pure spectra open."""
    ions = c.shape[1]
    for name, what, count, least in (
        ("X", "sample", len(set(copies(x, c))), ions + 3),
        ("C", "composition", len(set(copies(c))), ions + 1),
    ):
        if count < least:
            problem = f"{count} {what}{'s' * (count != 1)}, from which {ions} pure spectra cannot be told"
            raise DataError(explain(name, problem, expected=f"{least} or more, copies not counted"))


def _check_variation(name: str, table: Array, thing: str, axis: str) -> None:
    """Refuse columns that are the same everywhere, as against the largest of all or along the axis."""
    largest = np.broadcast_to(np.abs(table).max(0 if axis else None), table.shape[1])
    constant = np.flatnonzero(np.ptp(table, axis=0) <= SAME * largest)
    if len(constant):
        problem = f"{thing} {constant[0]} is the same in every row ({len(constant)} such)"
        fix = f"{name} = {name}[:, np.ptp({name}, axis=0) > {SAME:g} * np.abs({name}).max({axis})]"
        raise DataError(explain(f"{name}[:, {constant[0]}]", problem, fix=fix))
    wrong = np.flatnonzero((largest < SMALLEST) | (largest > LARGEST))
    if len(wrong):
        problem, expected = f"the largest value is {largest[wrong[0]]:g}", f"{SMALLEST:g} to {LARGEST:g}"
        raise DataError(explain(f"{name}[:, {wrong[0]}]", problem, expected=expected, fix="take another unit"))
