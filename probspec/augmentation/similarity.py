"""Are generated spectra like the real ones? Statistics by channel, and nearest real neighbours (Mushchina et al. 2024).

A good generated spectrum is near a real one where its concentrations are near, and far where they are far. One that is
nearer than real spectra are to each other, at other concentrations, is a copy with a wrong label; one that is farther,
at near concentrations, looks like nothing that was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from probspec.errors import QueryError, explain

Array = NDArray[np.float64]
BLOCK = 512  # spectra whose distances are in memory at once


def channel_statistics(real: ArrayLike, generated: ArrayLike) -> pd.DataFrame:
    """Mean and standard deviation of each channel, over real and over generated spectra.

    Parameters
    ----------
    real, generated : (sample, channel) array

    Returns
    -------
    DataFrame, indexed by channel
        Columns real_mean, real_sd, generated_mean, generated_sd, unit of the spectra.

    Raises
    ------
    QueryError
        If the channels differ in number, a value is not finite, or there are fewer than two spectra of a kind.

    Examples
    --------
    >>> channel_statistics([[1.0, 2.0], [3.0, 2.0]], [[2.0, 2.0], [2.0, 4.0]]).round(2).to_numpy().tolist()
    [[2.0, 1.41, 2.0, 0.0], [2.0, 0.0, 3.0, 1.41]]
    """
    kinds = {"real": _table("real", real), "generated": _table("generated", generated)}
    _same_columns("generated", kinds["generated"], kinds["real"])
    columns = {}
    for kind, table in kinds.items():
        columns[f"{kind}_mean"], columns[f"{kind}_sd"] = table.mean(0), table.std(0, ddof=1)
    return pd.DataFrame(columns, pd.RangeIndex(kinds["real"].shape[1], name="channel"))


@dataclass(frozen=True)
class Similarity:
    """Distances to nearest real neighbours.

    Parameters
    ----------
    generated, real : DataFrame, indexed by spectrum
        Of each generated spectrum, and of each real one among the other real ones: `spectral`, the distance to the
        nearest spectrum (root mean square over channels, unit of the spectra); `chemical`, that to the nearest
        concentrations (root mean square over ions, each as a share of its range); `chemical_of_spectral`, the distance
        in concentration to the neighbour that is nearest in spectrum; and the rows of the two neighbours.
    """

    generated: pd.DataFrame
    real: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """Medians and 95 % quantiles of the distances, real and generated, and their ratios."""
        names = ["spectral", "chemical", "chemical_of_spectral"]
        columns = {}
        for quantile, label in ((0.5, "median"), (0.95, "95 %")):
            real, made = (table[names].quantile(quantile) for table in (self.real, self.generated))
            columns |= {f"real {label}": real, f"generated {label}": made, f"ratio {label}": made / real}
        return pd.DataFrame(columns).rename_axis("distance")

    @property
    def copies(self) -> float:
        """Share of generated spectra nearer to a real one than the nearest two real ones are to each other."""
        return float((self.generated["spectral"] < self.real["spectral"].min()).mean())

    @property
    def strangers(self) -> float:
        """Share of generated spectra farther from all real ones than any real one is from the others."""
        return float((self.generated["spectral"] > self.real["spectral"].max()).mean())


def nearest_neighbours(
    X: ArrayLike, C: ArrayLike, generated_X: ArrayLike, generated_C: ArrayLike, groups: ArrayLike | None = None
) -> Similarity:
    """Find the nearest real neighbours of generated pairs, and of real ones, in both spaces.

    Parameters
    ----------
    X : (sample, channel) array
    C : (sample, ion) array
    generated_X : (generated, channel) array
    generated_C : (generated, ion) array
    groups : (sample,) array, optional
        Real spectra of one group, such as replicates, are no neighbours of each other.

    Raises
    ------
    QueryError
        If shapes do not fit, a value is not finite, or there are fewer than two pairs of a kind, or groups.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> C, more = rng.random((50, 2)), rng.random((30, 2))
    >>> pure = rng.random((2, 40))
    >>> found = nearest_neighbours(C @ pure, C, more @ pure, more)
    >>> found.generated.shape, found.real.shape, bool(abs(found.summary["ratio median"] - 1).max() < 0.5)
    ((30, 5), (50, 5), True)
    """
    x, c = _pairs("X", X, "C", C)
    more_x, more_c = _pairs("generated_X", generated_X, "generated_C", generated_C)
    _same_columns("generated_X", more_x, x)
    _same_columns("generated_C", more_c, c)
    width = np.maximum(np.ptp(c, axis=0), 1e-300)
    x, more_x = (table / x.shape[1] ** 0.5 for table in (x, more_x))
    c, more_c = (table / width / c.shape[1] ** 0.5 for table in (c, more_c))
    own = _codes(groups, len(x))
    return Similarity(
        _neighbours(x, c, own, more_x, more_c, np.full(len(more_x), -1)), _neighbours(x, c, own, x, c, own)
    )


def _neighbours(x: Array, c: Array, own: Array, asked_x: Array, asked_c: Array, asked_own: Array) -> pd.DataFrame:
    """Neighbours among (x, c) of what is asked, in groups other than its own."""
    parts = [_block(x, c, own, asked_x[rows], asked_c[rows], asked_own[rows]) for rows in _blocks(asked_x)]
    return pd.concat(parts, ignore_index=True).rename_axis("spectrum")


def _block(x: Array, c: Array, own: Array, asked_x: Array, asked_c: Array, asked_own: Array) -> pd.DataFrame:
    spectral, chemical = cdist(asked_x, x), cdist(asked_c, c)
    rows, same = np.arange(len(asked_x)), asked_own[:, None] == own
    spectral[same] = chemical[same] = np.inf
    near, near_c = spectral.argmin(1), chemical.argmin(1)
    return pd.DataFrame(
        {
            "spectral": spectral[rows, near],
            "chemical": chemical[rows, near_c],
            "chemical_of_spectral": chemical[rows, near],
            "spectral_row": near,
            "chemical_row": near_c,
        }
    )


def _codes(groups: ArrayLike | None, rows: int) -> Array:
    if groups is None:
        return np.arange(rows)
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if np.shape(groups) != (rows,) or len(names) < 2:
        problem = f"shape {np.shape(groups)}, {len(names)} of them"
        raise QueryError(explain("groups", problem, expected=f"({rows},), two groups or more"))
    return codes.reshape(-1)


def _blocks(table: Array) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, len(table), BLOCK))


def _pairs(name_x: str, X: ArrayLike, name_c: str, C: ArrayLike) -> tuple[Array, Array]:
    x, c = _table(name_x, X), np.asarray(C, float)
    c = _table(name_c, c[:, None] if c.ndim == 1 else c)
    if len(x) != len(c):
        raise QueryError(explain(name_c, f"{len(c)} rows", expected=f"{len(x)}, as {name_x} has"))
    return x, c


def _table(name: str, values: ArrayLike) -> Array:
    table = np.asarray(values, float)
    if table.ndim != 2 or len(table) < 2:
        raise QueryError(explain(name, f"shape {table.shape}", expected="a table of two or more rows"))
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        row, column = wrong[0]
        raise QueryError(explain(f"{name}[{row}, {column}]", f"{table[row, column]}", expected="a finite number"))
    return table


def _same_columns(name: str, table: Array, other: Array) -> None:
    if table.shape[1] != other.shape[1]:
        expected = f"{other.shape[1]}, as the real ones have"
        raise QueryError(explain(name, f"{table.shape[1]} columns", expected=expected))
