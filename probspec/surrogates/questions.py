"""Parameters at which a surrogate is asked for spectra, checked against its names and its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probspec.errors import QueryError, explain, known

Array = NDArray[np.float64]

ROUNDING = 1e-6
"""Share of the range by which a parameter may lie outside it: bounds are often kept in single precision."""


def as_rows(parameters: ArrayLike | Mapping[str, ArrayLike], names: Sequence[str]) -> Array:
    """Bring parameters into one array, (..., parameter).

    Raises
    ------
    QueryError
        If a name is unknown or missing, a value no number, or the shape wrong.

    Examples
    --------
    >>> as_rows({"z": 0.0, "kT": [1.0, 2.0]}, ["kT", "z"])
    array([[1., 0.],
           [2., 0.]])
    """
    if isinstance(parameters, Mapping):
        return _from_columns(parameters, names)
    theta = _numbers(parameters, "parameters")
    if len(names) == 1 and theta.ndim <= 1:
        return theta[..., None]
    if theta.ndim == 0 or theta.shape[-1] != len(names):
        raise QueryError(explain("parameters", f"shape {theta.shape}", expected=f"(..., {len(names)}): {_list(names)}"))
    return theta


def check_range(theta: Array, names: Sequence[str], units: Sequence[str], lower: Array, upper: Array) -> None:
    """Refuse the first value that is not finite or outside the range, NaN included.

    Raises
    ------
    QueryError
        Naming index, parameter, value and range.
    """
    slack = ROUNDING * (upper - lower)
    outside = np.argwhere(~((theta >= lower - slack) & (theta <= upper + slack)))
    if not len(outside):
        return
    index, number = tuple(outside[0]), outside[0][-1]
    unit = f" {units[number]}" if units[number] not in ("", "1") else ""
    where = f"parameters[{', '.join(str(int(n)) for n in index)}]"
    problem = f"{names[number]} = {theta[index]:.6g}{unit} is outside the taught range"
    expected = f"{lower[number]:.6g} to {upper[number]:.6g}{unit}"
    fix = "clip the values, or teach the surrogate further"
    raise QueryError(explain(where, problem, expected=expected, fix=fix))


def _from_columns(columns: Mapping[str, ArrayLike], names: Sequence[str]) -> Array:
    for name in columns:
        if name not in names:
            raise QueryError(explain("parameters", f"no parameter {name!r}", fix=known(name, names)))
    missing = [name for name in names if name not in columns]
    if missing:
        raise QueryError(explain("parameters", f"{_list(missing)} missing", expected=_list(names)))
    values = [_numbers(columns[name], name) for name in names]
    try:
        return np.stack(np.broadcast_arrays(*values), -1)
    except ValueError as error:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in zip(names, values, strict=True))
        raise QueryError(explain("parameters", f"shapes do not go together: {shapes}")) from error


def _numbers(values: Any, where: str) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise QueryError(explain(where, f"not numbers ({error})", expected="an array of numbers")) from error


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
