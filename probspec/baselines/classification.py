"""Classification: the face of the rivals that go from rows with missing values to class names.

NaN means "not reported". `probspec.baselines.discriminant` integrates such values out, `probspec.baselines.neural`
fills them in; both choose what is to be chosen on left-out groups inside `fit`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probspec.errors import DataError, QueryError, explain
from probspec.folds import check_groups, check_labels

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


class Classifier(ABC):
    """Face of the classifiers: rows with missing values in, probabilities of class names out.

    Attributes
    ----------
    classes_ : (class,) array
        Names, sorted; the order of the columns of `predict_proba`.
    n_features_in_ : int
    """

    classes_: NDArray
    n_features_in_: int

    @abstractmethod
    def _learn(self, X: Array, y: NDArray, groups: Codes) -> None:
        """Fit checked rows; `classes_` is set."""

    @abstractmethod
    def _probabilities(self, X: Array) -> Array:
        """Probabilities (sample, class) of checked rows."""

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn the classes.

        Parameters
        ----------
        X : (sample, feature) array
            In one unit a column, such as wt%; NaN = not reported.
        y : (sample,) array
            Class names.
        groups : (sample,) array, optional
            Rows that must stay together where settings are chosen, such as those of one paper; every row is alone
            where left out, and the choice is then too bold if rows share sources.

        Returns
        -------
        Classifier
            This object, fitted.

        Raises
        ------
        DataError
            If lengths disagree, a value is infinite, a class or a column is empty, or there are too few groups.
        """
        values = _table(X)
        names = check_labels(y, len(values))
        empty = np.flatnonzero(np.isnan(values).all(0))
        if len(empty):
            raise DataError(explain(f"X[:, {empty[0]}]", "reported by no row", fix="leave the column out"))
        codes = np.arange(len(values)) if groups is None else check_groups(groups, len(values))
        self.n_features_in_, self.classes_ = values.shape[1], np.unique(names)
        self._learn(values, names, codes)
        return self

    def predict_proba(self, X: ArrayLike) -> Array:
        """Give the probabilities of the classes.

        Parameters
        ----------
        X : (sample, feature) array
            NaN = not reported.

        Returns
        -------
        (sample, class) array
            Rows sum to 1; columns in the order of `classes_`.

        Raises
        ------
        QueryError
            If nothing was fitted yet.
        DataError
            If the columns are not those fitted, or a value is infinite.
        """
        if "classes_" not in vars(self):
            raise QueryError(explain(f"{type(self).__name__}.predict", "not fitted yet", fix="call fit(X, y) first"))
        values = _table(X)
        if values.shape[1] != self.n_features_in_:
            problem = f"{values.shape[1]} columns"
            raise DataError(explain("X", problem, expected=f"{self.n_features_in_}, as fitted"))
        return self._probabilities(values)

    def predict(self, X: ArrayLike) -> NDArray:
        """Name the likeliest class of each row, (sample,); errors as in `predict_proba`."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(1)]


def _table(X: ArrayLike) -> Array:
    try:
        values = np.array(X, float)
    except (TypeError, ValueError):
        raise DataError(explain("X", "values that are no numbers", expected="numbers, NaN = not reported")) from None
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(explain("X", f"shape {values.shape}", expected="(sample, feature)"))
    bad = np.argwhere(np.isinf(values))
    if len(bad):
        raise DataError(explain(f"X[{bad[0][0]}, {bad[0][1]}]", "infinity", expected="a number, or NaN = not reported"))
    return values
