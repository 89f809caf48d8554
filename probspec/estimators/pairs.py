"""What spectra of the same samples on two instruments must be, as bare arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from probspec.data.axes import check_axis
from probspec.errors import DataError, explain
from probspec.spec import Axis
from probspec.transfer.folds import FEWEST

Array = NDArray[np.float64]

SAME = 1e-7
"""Share of the largest value below which spectra do not differ: they are held as float32."""

SMALLEST, LARGEST = 1e-20, 1e37
"""Sizes of values whose squares and sums a model can form."""

NO_NUMBERS = {
    "c": ("Complex data not supported", "np.abs({0}), or {0}.real"),
    "U": ("no array of numbers but of text", "{0}.astype(float)"),
    "S": ("no array of numbers but of text", "{0}.astype(float)"),
    "M": ("no array of numbers but of dates", ""),
    "m": ("no array of numbers but of times", ""),
}
"""By kind of dtype: what it is, and what to type."""


@dataclass(frozen=True)
class ArrayPair:
    """Checked spectra of one secondary and the primary.

    Parameters
    ----------
    secondary, primary : (sample, channel) array
    groups : (sample,) int array
        Rows of one number are repeats of one sample; where no groups were given, those that are copies of each other.
    axis : (channel,) array
        Of the secondary.
    """

    secondary: Array
    primary: Array
    groups: NDArray[np.int64]
    axis: Array


def pair(
    X_secondary: ArrayLike,
    X_primary: ArrayLike | None,
    groups: ArrayLike | None = None,
    axis_secondary: ArrayLike | None = None,
) -> ArrayPair:
    """Check spectra of the same samples.

    Raises
    ------
    DataError
        Naming the argument and the index of what is wrong.
    """
    if X_primary is None:
        raise DataError(explain("X_primary", "requires y to be passed, but the target y is None"))
    secondary, primary = block(X_secondary, "X_secondary"), block(X_primary, "X_primary")
    if len(secondary) != len(primary):
        problem = f"{len(secondary)} spectra, X_primary has {len(primary)}"
        raise DataError(explain("X_secondary", problem, expected="row by row the same samples"))
    codes = copies(secondary, primary) if groups is None else group_codes(groups, len(primary))
    count = len(np.unique(codes))
    if count < FEWEST:
        problem = f"{count} sample{'s' if count > 1 else ''} on both instruments"
        raise DataError(
            explain("X_primary", problem, expected=f"at least {FEWEST}, copies not counted", fix="measure more of them")
        )
    for name, spectra in (("X_secondary", secondary), ("X_primary", primary)):
        largest = np.abs(spectra).max()
        if np.ptp(spectra, axis=0).max() <= SAME * largest:
            raise DataError(explain(name, "all spectra are equal", expected="spectra that differ"))
        if largest < SMALLEST:
            problem, expected = f"no value above {largest:g}", f"values of {SMALLEST:g} and more"
            raise DataError(explain(name, problem, expected=expected, fix=f"{name} = {name} / {largest:g}"))
    return ArrayPair(secondary, primary, codes, axis_of(axis_secondary, secondary.shape[1], "axis_secondary"))


def axis_of(positions: ArrayLike | None, channels: int, name: str) -> Array:
    """Positions of the channels, numbers where left out.

    Raises
    ------
    DataError
        Where there are not as many as channels, or one is not finite or not above the one before, which is named.
    """
    given = np.arange(channels) if positions is None else positions
    return check_axis(given, Axis(name="channel", unit="channel"), name, channels)


def block(values: ArrayLike, name: str, one_column: bool = False) -> Array:
    """Turn spectra into a (sample, channel) array of finite numbers, a copy in rows.

    Parameters
    ----------
    values : (sample, channel) array, DataFrame, or nested lists
    name : str
        Of the argument, for messages.
    one_column : bool
        Whether a (sample,) array is taken as one column.

    Raises
    ------
    DataError
        Naming row and channel of the first that is none.
    """
    table = _numbers(values, name)
    if one_column and table.ndim == 1:
        table = table[:, None]
    # "Reshape your data" and the sentences on what is empty are what scikit-learn's own checks look for.
    if table.ndim != 2:
        fix = f"Reshape your data, such as {name}[None, :] for one spectrum" if table.ndim == 1 else ""
        raise DataError(explain(name, f"shape {table.shape}", expected="(sample, channel)", fix=fix))
    if not table.size:
        what = "feature" if len(table) else "sample"
        problem = f"0 {what}(s) (shape={table.shape}) while a minimum of 1 is required"
        raise DataError(explain(name, problem, expected="(sample, channel)"))
    wrong = np.argwhere(~(np.abs(table) <= LARGEST))
    if len(wrong):
        row, channel = wrong[0]
        value = table[row, channel]
        what = "NaN" if np.isnan(value) else "infinite" if np.isinf(value) else f"{value:g}"
        expected, fix = f"finite values up to {LARGEST:.0e}", f"drop row {row}"
        raise DataError(explain(f"{name}[{row}, {channel}]", what, expected=expected, fix=fix))
    return table


def _numbers(values: ArrayLike, name: str) -> Array:
    """As float64; what is masked becomes NaN."""
    if issparse(values):
        raise DataError(explain(name, "sparse data", expected="a dense array", fix=f"{name}.toarray()"))
    try:
        masked = isinstance(values, np.ma.MaskedArray)
        given = np.ma.filled(values.astype(np.float64), np.nan) if masked else np.asarray(values)
        if given.dtype.kind in NO_NUMBERS:
            problem, fix = NO_NUMBERS[given.dtype.kind]
            raise DataError(explain(name, problem, expected="real numbers", fix=fix.format(name)))
        return given.astype(np.float64, order="C")
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(explain(name, f"no array of numbers ({error})", expected="(sample, channel) numbers")) from None


def copies(*tables: Array) -> NDArray[np.int64]:
    """Number the rows by the first that they are a copy of, in all tables : (sample,).

    >>> copies(np.array([[1.0], [2.0], [1.0], [3.0]]))
    array([0, 1, 0, 2])
    """
    first: dict[bytes, int] = {}
    keys = (b"".join(table[row].tobytes() for table in tables) for row in range(len(tables[0])))
    return np.array([first.setdefault(key, len(first)) for key in keys])


def check_channels(spectra: Array, channels: int, name: str) -> None:
    """Refuse spectra of another number of channels than were fitted."""
    if len(spectra) and spectra.shape[1] != channels:
        # In the words of scikit-learn, which its own checks look for.
        problem = f"X has {spectra.shape[1]} features, but SpectralTransfer is expecting {channels} features as input"
        raise DataError(explain(name, problem, fix="resample the spectra to the axis that was fitted"))


def group_codes(groups: ArrayLike, count: int) -> NDArray[np.int64]:
    """Number groups by their names : (sample,).

    Raises
    ------
    DataError
        If there is not one name for each of `count` rows, or a name is none.

    Examples
    --------
    >>> group_codes(["b", "a", "b"], 3)
    array([1, 0, 1])
    """
    names = np.asarray(groups)
    if names.ndim != 1 or len(names) != count:
        raise DataError(explain("groups", f"shape {names.shape}", expected=f"({count},), one name for each spectrum"))
    if names.dtype.kind == "f" and not np.isfinite(names).all():
        index = int(np.argmin(np.isfinite(names)))
        raise DataError(explain(f"groups[{index}]", f"{names[index]}", expected="the name of a sample"))
    try:
        return np.unique(names, return_inverse=True)[1].astype(np.int64)
    except TypeError:
        kinds = ", ".join(sorted({type(name).__name__ for name in names}))
        fix = "groups = [str(name) for name in groups]"
        raise DataError(explain("groups", f"names of kinds {kinds}", expected="of one kind", fix=fix)) from None
