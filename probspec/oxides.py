"""Oxide tables: the ten oxides of an electron-probe analysis, in wt%, as one array.

Tables of analyses differ in the order and spelling of their columns and in how they report iron; what comes out is
always (sample, oxide) in the order of `OXIDES`, with NaN where an oxide was not reported. Nothing is normalised, and
nothing missing is filled: an oxide that was not analysed is not an oxide that is absent.

All iron is given as FeO: ``FeOt`` where it is reported, else FeO + 0.8998 Fe2O3, else 0.8998 times Fe2O3 total.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse

from probspec.errors import DataError, explain, known

OXIDES = ("SiO2", "TiO2", "Al2O3", "FeOt", "MnO", "MgO", "CaO", "Na2O", "K2O", "Cr2O3")
"""The ten oxides, in the order of every oxide table; FeOt is all iron as FeO."""

OTHERS = ("P2O5", "ZrO2", "NiO", "SO3", "BaO", "SrO", "V2O3", "CoO", "ZnO", "B2O3", "CO2", "H2O", "F", "Cl")
"""Other columns that analyses often have, and that no model here is told of."""

FEO_PER_FE2O3 = 0.8998
"""Mass of FeO that holds as much iron as a mass of Fe2O3: 2 x 71.844 / 159.687."""

LEAST, MOST = -2.0, 130.0
"""Range of a believable value, wt%. A little below zero is below detection; real tables go down to -1.7."""

TOTALS = (20.0, 130.0)
"""Range of a total that does not look strange, wt%; zircon has but 32 wt% of the ten."""

_SPELLINGS = {
    "FeOt": ("feo*", "feo(t)", "feotot", "feototal"),
    "FeO": (),
    "Fe2O3": (),
    "Fe2O3t": ("fe2o3*", "fe2o3(t)", "fe2o3tot", "fe2o3total"),
}
_NAMES = {name.casefold(): name for name in (*OXIDES, *_SPELLINGS)} | {
    spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings
}
_UNIT = re.compile(r"[(\[]?wt\.?%[)\]]?$")

Columns = dict[str, NDArray[np.float64]]


def oxide_name(column: object) -> str | None:
    """Give the one spelling of an oxide's column: one of `OXIDES`, FeO, Fe2O3 or Fe2O3t; None for any other column.

    Examples
    --------
    >>> oxide_name("sio2 (wt%)"), oxide_name("FeO*"), oxide_name("Fe2O3T"), oxide_name("Sample")
    ('SiO2', 'FeOt', 'Fe2O3t', None)
    """
    word = "".join(str(column).casefold().split())
    return _NAMES.get(_UNIT.sub("", word))


def oxide_table(X: Any, where: str = "X", ignore: Iterable[str] = ()) -> NDArray[np.float64]:
    """Check a table of analyses and bring it into the order of `OXIDES`.

    Parameters
    ----------
    X : DataFrame, mapping of oxide -> (sample,) array, or (sample, oxide) array; wt%
        Columns in any order, in any case, with or without a trailing "wt%" or "(wt%)"; an array has the columns of
        `OXIDES`. NaN, and a column that is left out, mean "not reported", which is not zero.
    where : str
        How messages name the table.
    ignore : iterable of str
        Columns to be left out, such as ``("P2O5", "Sample")``. Any other column that is no oxide is an error.

    Returns
    -------
    (sample, oxide) float64 array, wt%
        FeOt is what was reported as such, else FeO + 0.8998 Fe2O3 (one that is missing beside the other counts as 0),
        else 0.8998 times Fe2O3t. Rows without any oxide, and totals of whatever size, are allowed; `strange_totals`
        tells which they are.

    Raises
    ------
    DataError
        Naming the column that is not known, repeats another or holds no numbers, or row and oxide of the first value
        below -2 wt%, above 130 wt% or infinite.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"MgO": [49.2, 40.0], "SiO2 (wt%)": [40.8, 39.1], "FeO": [9.9, 20.5], "Ni": [0.3, 0.2]})
    >>> oxide_table(table, ignore=("Ni",))[:, [0, 3, 5]]
    array([[40.8,  9.9, 49.2],
           [39.1, 20.5, 40. ]])
    """
    columns, labels = _read(X, where, {ignore} if isinstance(ignore, str) else set(ignore))
    for name, values in columns.items():
        _check_range(values, name, where, labels)
    iron = _total_iron(columns, len(labels))
    _check_range(iron, "FeOt", where, labels)
    nowhere = np.full(len(labels), np.nan)
    return np.stack([iron if oxide == "FeOt" else columns.get(oxide, nowhere) for oxide in OXIDES], axis=1)


def strange_totals(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which analyses have no oxide at all, a total above 130 wt%, or one below 20 though all ten were reported.

    Parameters
    ----------
    table : (sample, oxide) array, wt%
        As from `oxide_table`.

    Returns
    -------
    (sample,) bool array

    Examples
    --------
    >>> strange_totals(oxide_table({"SiO2": [99.5, float("nan"), 0.0]}))
    array([False,  True,  True])
    """
    total, gaps = np.nansum(table, axis=1), np.isnan(table).any(axis=1)
    return (total <= 0) | (total > TOTALS[1]) | ((total < TOTALS[0]) & ~gaps)


def _read(X: Any, where: str, ignore: set[str]) -> tuple[Columns, pd.Index]:
    """Take the columns of whatever kind of table, and the labels of its rows."""
    if isinstance(X, Mapping):
        X = _framed(X, where)
    elif not isinstance(X, pd.DataFrame):
        X = _of_ten(X, where)
    if len(X) == 0:
        raise DataError(explain(where, "no rows", expected="at least one analysis"))
    kept = {at: column for at, column in enumerate(X.columns) if str(column) not in ignore}
    found = _positions(kept, where)
    columns = {name: _numbers(X.iloc[:, at], f"{where}[{str(kept[at])!r}]") for name, at in found.items()}
    return columns, X.index


def _framed(X: Mapping[str, Any], where: str) -> pd.DataFrame:
    arrays = {column: np.atleast_1d(_array(values, f"{where}[{str(column)!r}]")) for column, values in X.items()}
    lengths = {column: values.shape for column, values in arrays.items()}
    (first, shape), *others = lengths.items() if lengths else [("", (0,))]
    for column, other in [(first, shape), *others]:
        if len(other) != 1 or other != shape:
            expected = f"one number for each row, as {str(first)!r} has ({shape[0]})"
            raise DataError(explain(f"{where}[{str(column)!r}]", f"shape {other}", expected=expected))
    return pd.DataFrame(arrays)


def _of_ten(X: Any, where: str) -> pd.DataFrame:
    array = _array(X, where)
    if np.iscomplexobj(array):
        raise DataError(explain(where, "Complex data not supported", expected="numbers in wt%"))
    if array.ndim != 2 or array.shape[1] != len(OXIDES):
        fix = "give one analysis as X[None, :], and other columns as a DataFrame or dict by oxide"
        expected = f"(sample, {len(OXIDES)}) with the columns {' '.join(OXIDES)}"
        raise DataError(explain(where, f"shape {array.shape}", expected=expected, fix=fix))
    return pd.DataFrame(array, columns=list(OXIDES))


def _array(values: Any, where: str) -> NDArray[Any]:
    if issparse(values):
        raise DataError(explain(where, "sparse input is not supported", fix=f"{where}.toarray()"))
    try:
        if isinstance(values, np.ma.MaskedArray):
            return np.ma.filled(values.astype(np.float64), np.nan)
        array = values.to_numpy() if isinstance(values, pd.Series) else np.asarray(values)
        return array.astype(np.float64) if array.dtype == object else array
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(explain(where, f"no array ({error})", expected="numbers in wt%")) from None


def _positions(columns: dict[int, Any], where: str) -> dict[str, int]:
    """Find the column of each oxide; what is no oxide, or comes twice, is an error."""
    unknown = tuple(str(column) for column in columns.values() if oxide_name(column) is None)
    if unknown:
        problem = f"no oxides: {', '.join(unknown)}; {_known(unknown[0])}"
        raise DataError(explain(where, problem, fix=f"leave them out by ignore={unknown!r}"))
    found: dict[str, int] = {}
    for at, column in columns.items():
        name = str(oxide_name(column))
        if name in found:
            problem = f"{str(columns[found[name]])!r} and {str(column)!r} both say {name}"
            raise DataError(explain(where, problem, expected="one column for each oxide", fix="drop one of the two"))
        found[name] = at
    if not found:
        raise DataError(explain(where, "no column is an oxide", expected=_known("")))
    return found


def _known(column: str) -> str:
    return known(column, (*OXIDES, "FeO", "Fe2O3", "Fe2O3t"))


def _numbers(column: pd.Series, where: str) -> NDArray[np.float64]:
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype)
    if not numeric or pd.api.types.is_bool_dtype(column.dtype):
        culprit = _culprit(column)
        fix = 'pandas.to_numeric(column, errors="coerce"), which turns text into NaN (not reported)' if culprit else ""
        raise DataError(explain(where, f"dtype {column.dtype}{culprit}", expected="float numbers in wt%", fix=fix))
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _culprit(column: pd.Series) -> str:
    """Show the first cell that is no number."""
    for row, cell in column.items():
        if isinstance(cell, str):
            return f", {cell!r} in row {row}"
    return ""


def _check_range(values: NDArray[np.float64], oxide: str, where: str, rows: pd.Index) -> None:
    wrong = (values < LEAST) | (values > MOST)
    if wrong.any():
        at = int(np.argmax(wrong))
        expected = f"{LEAST:g} to {MOST:g} wt%, or NaN (not reported)"
        doubt = "; are these ppm or mol %?" if np.isfinite(values[at]) and values[at] > MOST else ""
        raise DataError(explain(f"{where}[{rows[at]}, {oxide}]", f"{values[at]:.6g}{doubt}", expected=expected))


def _total_iron(columns: Columns, rows: int) -> NDArray[np.float64]:
    nowhere = np.full(rows, np.nan)
    ferrous, ferric = columns.get("FeO", nowhere), columns.get("Fe2O3", nowhere)
    both = np.nan_to_num(ferrous) + FEO_PER_FE2O3 * np.nan_to_num(ferric)
    both[np.isnan(ferrous) & np.isnan(ferric)] = np.nan
    iron = columns.get("FeOt", nowhere)
    for other in (both, FEO_PER_FE2O3 * columns.get("Fe2O3t", nowhere)):
        iron = np.where(np.isnan(iron), other, iron)
    return iron
