"""Tables of electron-probe analyses: CSV files and data frames, one analysis a row, oxides in columns."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probspec.data.spectra import Spectra
from probspec.errors import DataError, SpecError, explain, known
from probspec.oxides import OXIDES, oxide_name, oxide_table
from probspec.spec import DataSpec, load_spec

_UNREADABLE = (OSError, EOFError, ValueError, zlib.error)


def read_analyses(
    table: str | Path | pd.DataFrame,
    spec: DataSpec | str = "epma_minerals",
    label: str | None = "mineral",
    group: str | None = "source_group",
    ignore: Iterable[str] | None = None,
) -> Spectra:
    """Read mineral analyses with their labels and groups.

    Parameters
    ----------
    table : path of a .csv or .csv.gz file, or DataFrame; oxides in wt%
        Oxide columns as `probspec.oxides.oxide_table` takes them; an empty cell was not reported.
    spec : DataSpec or str
        With a modality whose channels are the ten oxides and, where there are labels, a target that is a category.
    label : str, optional
        Column of class names; an empty cell is an unlabelled analysis. None where there are no labels.
    group : str, optional
        Column of what must not be parted, such as the paper; no cell may be empty. None where there is none.
    ignore : iterable of str, optional
        Columns that are no oxides. Where left out, every column that is no oxide is passed over; given, a column
        beside these is an error, so that a misspelt oxide is noticed.

    Returns
    -------
    Spectra
        One row an analysis, in the order of the table.

    Raises
    ------
    DataError
        Where the file cannot be read, a column is missing, a class is not known, or oxides are not in wt%; naming row
        and column.
    SpecError
        Where the spec has no modality of the ten oxides, or no category.

    Examples
    --------
    >>> table = pd.DataFrame({"mineral": ["Olivine", "Quartz"], "SiO2": [40.8, 99.9], "MgO": [49.4, np.nan]})
    >>> read_analyses(table, group=None)
    Spectra(epma_minerals: 2 rows; oxides 10 channels, SiO2 to Cr2O3, 2 measured; mineral 2 labelled)
    """
    spec = load_spec(spec) if isinstance(spec, str) else spec
    modality = _oxide_modality(spec)
    where = "table" if isinstance(table, pd.DataFrame) else Path(table).name
    frame = table if isinstance(table, pd.DataFrame) else _read_csv(Path(table))
    labels = None if label is None else _codes(_column(frame, label, where), spec, f"{where}[{label!r}]")
    groups = None if group is None else _groups(_column(frame, group, where), f"{where}[{group!r}]")
    passed = _no_oxides(frame) if ignore is None else {*ignore} | {name for name in (label, group) if name is not None}
    oxides = oxide_table(frame, where, passed)
    return Spectra.from_arrays({modality: oxides}, spec, targets=labels, groups=groups)


def _oxide_modality(spec: DataSpec) -> str:
    for name, modality in spec.modalities.items():
        if modality.axis.labels == OXIDES and modality.gaps:
            return name
    expected = f"one with gaps = true and the axis labels {', '.join(OXIDES)}"
    raise SpecError(explain(f"{spec.name}: modalities", "no modality of oxides", expected=expected))


def _read_csv(file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file, low_memory=False)
    except _UNREADABLE as error:
        expected = "a .csv or .csv.gz file whose first line names the columns"
        raise DataError(explain(str(file), f"cannot be read ({error})", expected=expected)) from None


def _column(frame: pd.DataFrame, name: str, where: str) -> pd.Series:
    if list(frame.columns).count(name) != 1:
        problem = f"{list(frame.columns).count(name)} columns of this name"
        raise DataError(explain(f"{where}[{name!r}]", problem, expected=f"one; {known(name, map(str, frame.columns))}"))
    return frame[name]


def _codes(names: pd.Series, spec: DataSpec, where: str) -> dict[str, NDArray[np.float64]]:
    """Give classes their codes; NaN where there is no label."""
    target = next((name for name, target in spec.targets.items() if target.support == "category"), None)
    if target is None:
        fix = 'add a target of support "category", or give label=None'
        raise SpecError(explain(f"{spec.name}: targets", "no category", fix=fix))
    classes = spec.targets[target].components
    codes = names.map({component: float(code) for code, component in enumerate(classes)}).to_numpy(np.float64)
    unknown = np.isnan(codes) & names.notna().to_numpy()
    if unknown.any():
        at = int(np.argmax(unknown))
        problem = f"class {str(names.iloc[at])!r} is unknown ({unknown.sum()} rows have unknown classes)"
        expected = f"{known(str(names.iloc[at]), classes)}, or empty (unlabelled)"
        raise DataError(explain(f"{where}[{names.index[at]}]", problem, expected=expected))
    return {target: codes}


def _groups(names: pd.Series, where: str) -> NDArray[np.str_]:
    if names.isna().any():
        row = names.index[int(np.argmax(names.isna()))]
        fix = "name its source, or give group=None"
        raise DataError(explain(f"{where}[{row}]", "empty", expected="a group for each row", fix=fix))
    return names.astype(str).to_numpy(str)


def _no_oxides(frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(str(column) for column in frame.columns if oxide_name(column) is None)
