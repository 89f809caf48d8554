"""The published experiment: does augmentation help the regression networks? Arms compared fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probspec.augmentation.networks import NetworkOptions, Networks
from probspec.errors import DataError, check_whole, explain
from probspec.seeding import child_seed

Array = NDArray[np.float64]
Arm = Callable[[Array, Array], tuple[Array, Array]]
"""From training pairs to what the networks are trained on."""


@dataclass(frozen=True)
class Comparison:
    """Errors of regression networks under several arms, on the same folds.

    Parameters
    ----------
    table : DataFrame, indexed by fold and ion
        Mean absolute error of each arm, unit of the concentrations.
    plain : str
        Arm that the others are held against.
    """

    table: pd.DataFrame
    plain: str

    @property
    def summary(self) -> pd.DataFrame:
        """Each arm, over folds, for each ion and for the "mean" of all.

        Mean error, its standard error, the ratio to the plain arm, and the paired difference with its standard error.
        """
        folds = self.table.groupby("fold")
        ions = pd.concat([self.table, pd.concat({"mean": folds.mean()}, names=["ion"]).reorder_levels(["fold", "ion"])])
        parts = {arm: self._of(ions, arm) for arm in self.table.columns}
        order = [*dict.fromkeys(self.table.index.get_level_values("ion")), "mean"]
        found = pd.concat(parts, names=["arm"])
        return found.reindex(pd.MultiIndex.from_product([list(parts), order], names=["arm", "ion"]))

    def _of(self, ions: pd.DataFrame, arm: str) -> pd.DataFrame:
        difference = (ions[arm] - ions[self.plain]).groupby("ion")
        error = ions[arm].groupby("ion")
        return pd.DataFrame(
            {
                "MAE": error.mean(),
                "standard_error": error.sem(),
                "ratio": error.mean() / ions[self.plain].groupby("ion").mean(),
                "difference": difference.mean(),
                "difference_error": difference.sem(),
            }
        )

    def __repr__(self) -> str:
        ratios = self.summary.xs("mean", level="ion")["ratio"]
        told = ", ".join(f"{arm} {ratio:.3g}" for arm, ratio in ratios.items())
        return f"Comparison({len(self.table.groupby('fold'))} folds; mean MAE relative to {self.plain}: {told})"


def compare_arms(
    X: Array,
    C: Array,
    arms: Mapping[str, Arm],
    folds: int | Sequence[tuple[NDArray, NDArray]] = 8,
    ions: Sequence[str] | None = None,
    options: NetworkOptions | None = None,
    only: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Train the networks of each arm on each fold's training rows, and score them on its test rows.

    Parameters
    ----------
    X : (sample, channel) array
    C : (sample, ion) array
    arms : mapping of name -> callable
        The first is the plain one.
    folds : int, or sequence of (train, test) row numbers
    ions : sequence of str, optional
    options : NetworkOptions, optional
        The published ones where left out.
    only : int, optional
        How many of the folds are run.
    seed : int
        Of the folds and the networks, which start alike in all arms.

    Raises
    ------
    DataError
        Naming an argument that is of the wrong kind, or does not fit the others.
    """
    X, C = np.asarray(X, float), np.asarray(C, float)
    _check(arms, options, C.shape[1] if ions is None else len(ions), C.shape[1])
    for name, value, least in (("seed", seed, 0), ("only", 1 if only is None else only, 1)):
        check_whole(name, value, least)
    splits = list(folds) if isinstance(folds, Sequence) and not isinstance(folds, str) else _cut(len(X), folds, seed)
    names = [f"ion_{k}" for k in range(C.shape[1])] if ions is None else list(ions)
    parts = {}
    for number, (train, test) in enumerate(splits[:only]):
        errors = {}
        for arm, make in arms.items():
            networks = Networks(options, child_seed(seed, number)).fit(*make(X[train], C[train]))
            errors[arm] = np.abs(networks.predict(X[test]) - C[test]).mean(0)
        parts[number] = pd.DataFrame(errors, pd.Index(names, name="ion"))
    return Comparison(pd.concat(parts, names=["fold"]), next(iter(arms)))


def _check(arms: object, options: object, names: int, ions: int) -> None:
    if not isinstance(arms, Mapping) or not arms or not all(map(callable, arms.values())):
        expected = 'functions by name, such as {"plain": lambda X, C: (X, C)}'
        raise DataError(explain("arms", f"got {type(arms).__name__}, or nothing in it", expected=expected))
    if not isinstance(options, NetworkOptions | None):
        expected = "NetworkOptions, such as NetworkOptions(epochs=100)"
        raise DataError(explain("options", f"got {type(options).__name__}", expected=expected))
    if names != ions:
        raise DataError(explain("ions", f"{names} names", expected=f"{ions}, one for each column of C"))


def _cut(rows: int, folds: int, seed: int) -> list[tuple[NDArray, NDArray]]:
    check_whole("folds", folds, least=2)
    if folds > rows:
        raise DataError(explain("folds", f"{folds} of {rows} samples", expected="no more than samples"))
    fold = np.random.default_rng(seed).permutation(rows) % folds
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]
