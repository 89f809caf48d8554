"""A family of spectra: what a surrogate is taught, checked once and brought into one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probspec.errors import DataError, explain

Array = NDArray[np.float64]

SAME = 1e-7  # of the range: parameters that differ by less are one point
LEAST_ROWS = 3
WHOLE = 0.02  # how near to a whole number of counts a value of single precision comes
MOST_COUNTS = 1e9  # in one channel
MOST_IN_SMALLEST = 20


@dataclass(frozen=True)
class Family:
    """Spectra of unit sum, and the parameters that they belong to.

    Parameters
    ----------
    spectra : (row, channel) array, unit sum
    weights : (row,) array
        Inverse variances of the rows, up to a common factor.
    parameters : (row, parameter) array, optional
    names, units : tuple of str
        Of the parameters.
    anchors : tuple of int, optional
        Rows to interpolate between.
    """

    spectra: Array
    weights: Array
    parameters: Array | None = None
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    anchors: tuple[int, ...] | None = None

    def without(self, rows: NDArray[np.int64]) -> Family:
        """Leave rows out; anchors are dropped, as their numbers no longer hold."""
        kept = np.setdiff1d(np.arange(len(self.spectra)), rows)
        parameters = None if self.parameters is None else self.parameters[kept]
        return replace(
            self, spectra=self.spectra[kept], weights=self.weights[kept], parameters=parameters, anchors=None
        )

    @property
    def lower(self) -> Array:
        """Least value of each parameter."""
        return self.taught.min(0)

    @property
    def upper(self) -> Array:
        """Largest value of each parameter."""
        return self.taught.max(0)

    @property
    def taught(self) -> Array:
        """Parameters, where a family without them has no use."""
        if self.parameters is None:
            raise DataError(explain("parameters", "this family has none"))
        return self.parameters


def read_family(
    spectra: ArrayLike,
    parameters: ArrayLike | None,
    names: Sequence[str] | None,
    units: Sequence[str] | None,
    anchors: Sequence[int] | None,
) -> Family:
    """Check what `Surrogate.fit` is given; rows of equal parameters become one, their mean.

    Raises
    ------
    DataError
        Naming the argument, the row and the column that are at fault.
    """
    x = _spectra(spectra)
    weights = weights_of(x)
    x = x / x.sum(1, keepdims=True)
    if parameters is None:
        if names is not None or units is not None:
            raise DataError(explain("names", "given without parameters", fix="parameters=... or leave names out"))
        return Family(x, weights, anchors=_anchors(anchors, np.arange(len(x))))
    theta = _parameters(parameters, len(x))
    labels = _labels(names, theta.shape[1], "names", "theta")
    theta, x, weights, place = _merged(theta, x, weights)
    _check_varied(theta, labels)
    return Family(x, weights, theta, labels, _labels(units, theta.shape[1], "units", ""), _anchors(anchors, place))


def weights_of(spectra: Array) -> Array:
    """Inverse variance of each row once it has unit sum: its total where rows are counts, else one for all.

    Rows are counts if each holds only whole multiples of one value, also after they were scaled. Monte Carlo
    signatures behind 30 mm of steel have a hundredth of the counts of those behind none.

    Examples
    --------
    >>> weights_of(np.array([[1.0, 2.0, 0.0, 5.0], [0.2, 0.5, 0.3, 0.0]])).round(6)
    array([ 8., 10.])
    """
    totals = np.array([_counts_in(row) for row in spectra])
    return totals if np.isfinite(totals).all() else np.ones(len(spectra))


def _counts_in(row: Array) -> float:
    """Number of counts in a row, NaN if it holds none: its smallest value must be a few of them."""
    present = row[row > 0]
    for few in range(1, MOST_IN_SMALLEST + 1):
        counts = present * (few / present.min())
        if counts.max() < MOST_COUNTS and np.abs(counts - np.round(counts)).max() < WHOLE and counts.max() > 2:
            return float(counts.sum())
    return float("nan")


def _numbers(values: Any, where: str, expected: str) -> Array:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(explain(where, f"not numbers ({error})", expected=expected)) from error
    return found


def _spectra(values: ArrayLike) -> Array:
    x = _numbers(values, "spectra", "a (sample, channel) array")
    if x.ndim != 2 or x.shape[1] < 2:
        raise DataError(explain("spectra", f"shape {x.shape}", expected="(sample, channel), two channels or more"))
    if len(x) < LEAST_ROWS:
        raise DataError(explain("spectra", f"{len(x)} row(s)", expected=f"at least {LEAST_ROWS} spectra to learn from"))
    _refuse(~np.isfinite(x), x, "spectra", "finite values", "drop the row, or fill the channel")
    _refuse(x < 0, x, "spectra", "values that are not negative", "np.clip(spectra, 0, None), if these are noise")
    empty = np.flatnonzero(x.sum(1) <= 0)
    if len(empty):
        raise DataError(explain(f"spectra[{empty[0]}]", "sums to zero", expected="some counts", fix="drop the row"))
    return x


def _parameters(values: ArrayLike, rows: int) -> Array:
    theta = _numbers(values, "parameters", "a (sample, parameter) array")
    theta = theta[:, None] if theta.ndim == 1 else theta
    if theta.ndim != 2 or len(theta) != rows or not theta.shape[1]:
        expected = f"({rows}, parameter), one row for each spectrum"
        raise DataError(explain("parameters", f"shape {theta.shape}", expected=expected))
    _refuse(~np.isfinite(theta), theta, "parameters", "finite values", "drop the row")
    return theta


def _refuse(wrong: NDArray[np.bool_], values: Array, where: str, expected: str, fix: str) -> None:
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        value = float(values[row, column])
        raise DataError(explain(f"{where}[{row}, {column}]", f"{value:g}", expected=expected, fix=fix))


def _labels(labels: Sequence[str] | None, count: int, where: str, default: str) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"{default}_{n}" if default else "" for n in range(count))
    found = (labels,) if isinstance(labels, str) else tuple(str(label) for label in labels)
    if len(found) != count:
        raise DataError(explain(where, f"{len(found)} given", expected=f"{count}, one for each parameter"))
    if where == "names" and len(set(found)) < count:
        raise DataError(explain(where, f"a name occurs twice in {list(found)}"))
    return found


def _merged(theta: Array, x: Array, weights: Array) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Rows in ascending order of their parameters, equal ones averaged, and where each given row went."""
    span = np.maximum(np.ptp(theta, axis=0), np.finfo(float).tiny)
    steps = np.round((theta - theta.min(0)) / span / SAME)
    _, first, place = np.unique(steps, axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    total = np.bincount(place, weights)
    mean = np.stack([np.bincount(place, weights * column) for column in x.T], 1) / total[:, None]
    return theta[first], mean, total, place


def _check_varied(theta: Array, names: tuple[str, ...]) -> None:
    constant = np.flatnonzero(np.ptp(theta, axis=0) == 0)
    if len(constant):
        where, value = f"parameters[:, {constant[0]}]", theta[0, constant[0]]
        problem = f"{names[constant[0]]} is {value:g} in every row"
        raise DataError(explain(where, problem, expected="a parameter that varies", fix="leave the column out"))
    if len(theta) < LEAST_ROWS:
        raise DataError(explain("parameters", f"{len(theta)} different row(s)", expected=f"at least {LEAST_ROWS}"))


def _anchors(anchors: Sequence[int] | None, place: NDArray[np.int64]) -> tuple[int, ...] | None:
    if anchors is None:
        return None
    found = np.asarray(anchors)
    if found.ndim != 1 or found.dtype.kind not in "iu" or len(found) < 2:
        raise DataError(explain("anchors", f"got {anchors!r}", expected="two or more row numbers"))
    outside = found[(found < 0) | (found >= len(place))]
    if len(outside):
        raise DataError(explain("anchors", f"no row {outside[0]}", expected=f"rows 0 to {len(place) - 1}"))
    chosen = tuple(int(row) for row in place[found])
    if len(set(chosen)) < len(chosen):
        raise DataError(explain("anchors", f"{list(anchors)} names a spectrum twice", expected="different spectra"))
    return chosen
