"""What arrays must be before they become spectra, targets or groups.

Every check names the argument (or the HDF5 path) and the index of the first value that is wrong. Nothing is mended
silently but rounding: labels on the simplex that sum to 1 within a thousandth are closed to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from probspec.errors import DataError, explain, known
from probspec.spec import Target

CLOSURE = 1e-3
"""How far the sum of published fractions may be from 1, by rounding."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def numbers(values: Any, where: str, dims: tuple[str, ...]) -> NDArray[Any]:
    """Turn `values` into an array of real numbers with the named dims, masked entries as NaN.

    Raises
    ------
    DataError
        Where values are no real numbers, or have other dims, or there are none.
    """
    array = _array(values, where)
    if array.dtype.kind not in "iuf":
        raise DataError(explain(where, f"dtype {array.dtype}", expected="real numbers", fix="convert it to float"))
    if array.ndim != len(dims):
        fix = "give one row as x[None, :]" if array.ndim == 1 and len(dims) == 2 else ""
        raise DataError(explain(where, f"shape {array.shape}", expected=f"dims ({', '.join(dims)})", fix=fix))
    if array.size == 0:
        raise DataError(explain(where, f"empty, shape {array.shape}", expected=f"at least one {' and '.join(dims)}"))
    return array


def same_length(length: int, expected: int, where: str, dim: str = "rows") -> None:
    """Refuse another number of rows or channels than the other parts have."""
    if length != expected:
        raise DataError(explain(where, f"{length} {dim}", expected=f"{expected}, as the other parts have"))


def spectra(
    values: Any,
    where: str,
    noise: str,
    rows: NDArray[np.int64] | None = None,
    gaps: bool = False,
    copy: bool = True,
) -> tuple[NDArray[np.float32], Flags]:
    """Check spectra; a row of NaN is a spectrum that was not measured.

    Parameters
    ----------
    values : (sample, channel)
    noise : {"gaussian", "poisson"}
        Under "poisson" channels must be whole counts.
    rows : (sample,) int, optional
        Row numbers to name in messages, where `values` is a part of more.
    gaps : bool
        Whether single channels may be NaN, see `Modality`.
    copy : bool
        Whether the array given may be changed later by its owner.

    Returns
    -------
    (sample, channel) float32 array
    (sample,) bool array
        Which rows were measured.

    Raises
    ------
    DataError
        Naming row and channel of the first channel that is infinite, no count, or NaN where no gaps are allowed.
    """
    array = numbers(values, where, ("sample", "channel"))
    if noise != "poisson" and array.dtype == np.float32 and _all_finite(array):
        return (array.copy() if copy else array), np.ones(len(array), bool)
    with np.errstate(over="ignore"):
        kept = array.astype(np.float32)
    measured = np.asarray(~np.isnan(kept).all(axis=1))
    given = ~np.isnan(kept) if gaps else measured[:, None]
    wrong = ~np.isfinite(kept) & given
    expected, fix = "finite float32 numbers", "mend the channel, or set the whole row to NaN (not measured)"
    if noise == "poisson" and not wrong.any():
        wrong = ((kept < 0) | (kept != np.floor(kept))) & given
        expected, fix = "whole counts >= 0", 'set noise = "gaussian" in the spec if these are no counts'
    if wrong.any():
        row, channel = first(wrong)
        shown = row if rows is None else int(rows[row])
        raise DataError(explain(f"{where}[{shown}, {channel}]", _say(array[row, channel]), expected=expected, fix=fix))
    return kept, measured


def _all_finite(array: NDArray[np.float32]) -> bool:
    """Tell by the sums of the rows, at the cost of one reading; a sum that overflows counts as not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(array @ np.ones(array.shape[1], np.float32)).all())


def targets(values: Any, target: Target, where: str) -> Floats:
    """Check labels against their target; a row of NaN is an unlabelled row.

    Returns
    -------
    (sample, component) float64 array
        Closed to a sum of 1 where the support is the simplex; class codes [sample, 1] for a category.

    Raises
    ------
    DataError
        Naming row and component of the first label outside the support.
    """
    array = _array(values, where)
    if array.ndim == 1 and target.width == 1:
        array = array[:, None]
    labels = numbers(array, where, ("sample", target.dim)).astype(np.float64)
    same_length(labels.shape[1], target.width, where, f"columns ({', '.join(target.components)})")
    labelled = np.asarray(~np.isnan(labels).all(axis=1))
    wrong = ~_inside(labels, target) & labelled[:, None]
    if wrong.any():
        row, column = first(wrong)
        expected = f"{_RANGE[target.support]}, or NaN in the whole row (unlabelled)"
        raise DataError(explain(f"{where}[{row}, {column}]", _say(labels[row, column]), expected=expected))
    return _closed(labels, labelled, where) if target.support == "simplex" else labels


def class_codes(names: NDArray[Any], target: Target, where: str) -> Floats:
    """Turn the names of classes into their codes; an empty name is NaN, an unlabelled row.

    Raises
    ------
    DataError
        Naming the first row whose class is no component of the target.
    """
    codes = {name: float(code) for code, name in enumerate(target.components)} | {"": np.nan}
    for row, name in np.ndenumerate(names):
        if name not in codes:
            expected = known(str(name), target.components)
            raise DataError(explain(f"{where}[{', '.join(map(str, row))}]", f"class {str(name)!r}", expected=expected))
    return np.vectorize(codes.__getitem__, otypes=[float])(names)


def names(values: Any, where: str, length: int) -> NDArray[Any]:
    """Check one integer or string a row: groups, split labels.

    Raises
    ------
    DataError
        Where there are other values, or not one for each row.
    """
    array = _array(values, where)
    if array.dtype.kind == "O" and all(isinstance(v, str) for v in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in "iuU" or array.ndim != 1:
        raise DataError(explain(where, _seen(array), expected="one integer or string for each row"))
    same_length(len(array), length, where)
    return array.copy()


def covariate(values: Any, where: str, length: int) -> Floats:
    """Check one number a row; NaN where it is not known."""
    array = numbers(values, where, ("sample",)).astype(np.float64)
    same_length(len(array), length, where)
    if np.isinf(array).any():
        (row,) = first(np.isinf(array))
        raise DataError(explain(f"{where}[{row}]", _say(array[row]), expected="finite numbers, or NaN (not known)"))
    return array


def row_numbers(index: Any, length: int, where: str = "index") -> NDArray[np.int64]:
    """Turn row numbers, a slice or a boolean mask over `length` rows into row numbers from 0.

    Raises
    ------
    DataError
        Where a row does not exist, the mask has another length, or nothing is chosen.
    """
    array = np.arange(length)[index] if isinstance(index, slice) else np.atleast_1d(_array(index, where))
    if array.dtype.kind == "b":
        same_length(len(array), length, where)
        array = np.flatnonzero(array)
    if array.size == 0:
        raise DataError(explain(where, "no rows chosen", expected="at least one"))
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataError(explain(where, _seen(array), expected="row numbers or a boolean mask"))
    outside = (array < -length) | (array >= length)
    if outside.any():
        (at,) = first(outside)
        raise DataError(explain(f"{where}[{at}]", f"row {array[at]} does not exist", expected=f"below {length}"))
    return array.astype(np.int64) % length


def first(wrong: Flags) -> tuple[int, ...]:
    """Index of the first true entry."""
    return tuple(int(i) for i in np.argwhere(wrong)[0])


_RANGE = {
    "simplex": "fractions from 0 to 1",
    "positive": "finite numbers >= 0",
    "real": "finite numbers",
    "unit_interval": "numbers from 0 to 1",
    "category": "class codes 0, 1, 2 ... below the number of components",
}


def _inside(labels: Floats, target: Target) -> Flags:
    upper = {"simplex": 1 + CLOSURE, "unit_interval": 1.0, "category": len(target.components) - 1}
    inside = np.isfinite(labels) & (labels <= upper.get(target.support, np.inf))
    if target.support != "real":
        inside &= labels >= 0
    return inside & (labels == np.floor(labels)) if target.support == "category" else inside


def _closed(labels: Floats, labelled: Flags, where: str) -> Floats:
    total = labels.sum(axis=1, keepdims=True)
    off = (np.abs(total[:, 0] - 1) > CLOSURE) & labelled
    if off.any():
        (row,) = first(off)
        fix = 'divide each row by its sum, or use support = "positive"'
        raise DataError(explain(f"{where}[{row}]", f"sums to {total[row, 0]:.6g}", expected="a sum of 1", fix=fix))
    return labels / total


def _array(values: Any, where: str) -> NDArray[Any]:
    try:
        if isinstance(values, np.ma.MaskedArray):
            return np.ma.filled(values.astype(np.float64), np.nan)
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(explain(where, f"no array ({error})", expected="rows of equal length")) from None


def _seen(array: NDArray[Any]) -> str:
    return f"shape {array.shape} of dtype {array.dtype}"


def _say(value: Any) -> str:
    return "NaN" if np.isnan(value) else f"{value:.6g}"
