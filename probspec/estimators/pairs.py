"""What spectra of the same samples on two instruments must be, as bare arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from probspec.data.axes import check_axis
from probspec.errors import DataError, explain
from probspec.models.transfer import FEWEST
from probspec.spec import Axis

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ArrayPair:
    """Checked spectra of one secondary and the primary.

    Parameters
    ----------
    secondary, primary : (sample, channel) array
    groups : (sample,) int array
        Rows of one number are repeats of one sample.
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
    codes = _codes(groups, len(primary))
    count = len(np.unique(codes))
    if count < FEWEST:
        problem = f"{count} sample{'s' if count > 1 else ''} on both instruments"
        raise DataError(explain("X_primary", problem, expected=f"at least {FEWEST}", fix="measure more of them"))
    for name, spectra in (("X_secondary", secondary), ("X_primary", primary)):
        if not spectra.std(0).any():
            raise DataError(explain(name, "all spectra are equal", expected="spectra that differ"))
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


def block(values: ArrayLike, name: str) -> Array:
    """Turn spectra into a (sample, channel) array of finite numbers.

    Raises
    ------
    DataError
        Naming row and channel of the first that is none.
    """
    if issparse(values):
        raise DataError(explain(name, "sparse data", expected="a dense array", fix=f"{name}.toarray()"))
    try:
        given = np.asarray(values)
        if given.dtype.kind == "c":
            raise DataError(explain(name, "Complex data not supported", expected="real numbers"))
        spectra = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(explain(name, "no array of numbers", expected="(sample, channel) numbers")) from None
    # "Reshape your data" and the sentences on what is empty are what scikit-learn's own checks look for.
    if spectra.ndim != 2:
        fix = f"Reshape your data, such as {name}[None, :] for one spectrum" if spectra.ndim == 1 else ""
        raise DataError(explain(name, f"shape {spectra.shape}", expected="(sample, channel)", fix=fix))
    if not spectra.size:
        what = "feature" if len(spectra) else "sample"
        problem = f"0 {what}(s) (shape={spectra.shape}) while a minimum of 1 is required."
        raise DataError(explain(name, problem, expected="(sample, channel)"))
    wrong = np.argwhere(~np.isfinite(spectra))
    if len(wrong):
        row, channel = wrong[0]
        what = "NaN" if np.isnan(spectra[row, channel]) else "infinite"
        raise DataError(explain(f"{name}[{row}, {channel}]", what, expected="finite values", fix=f"drop row {row}"))
    return spectra


def check_channels(spectra: Array, channels: int, name: str) -> None:
    """Refuse spectra of another number of channels than were fitted."""
    if len(spectra) and spectra.shape[1] != channels:
        # In the words of scikit-learn, which its own checks look for.
        problem = f"X has {spectra.shape[1]} features, but SpectralTransfer is expecting {channels} features as input"
        raise DataError(explain(name, problem, fix="resample the spectra to the axis that was fitted"))


def _codes(groups: ArrayLike | None, count: int) -> NDArray[np.int64]:
    if groups is None:
        return np.arange(count)
    names = np.asarray(groups)
    if names.ndim != 1 or len(names) != count:
        raise DataError(explain("groups", f"shape {names.shape}", expected=f"({count},), one name for each spectrum"))
    if names.dtype.kind == "f" and not np.isfinite(names).all():
        index = int(np.argmin(np.isfinite(names)))
        raise DataError(explain(f"groups[{index}]", f"{names[index]}", expected="the name of a sample"))
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
