"""Nested, grouped cross-validation of classifiers: what a classifier is worth on sources that it has never seen.

Analyses of one paper, one laboratory or one grain resemble each other. Folds drawn row by row put some of each on both
sides, and then measure how well a classifier remembers papers. Here rows of one group are never on both sides, neither
in the outer folds that score nor in the inner ones that choose settings, and to do without groups takes saying so.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import ParameterGrid

from probspec.errors import DataError, ProbspecWarning, explain
from probspec.folds import Codes, Splits, aligned, check_groups, check_labels, fixed_folds, grouped_folds
from probspec.metrics import accuracy, class_report, expected_calibration_error, negative_log_likelihood
from probspec.seeding import child_seed

Array = NDArray[np.float64]
Settings = Mapping[str, Any]


class Classifies(Protocol):
    """Face of a classifier, as scikit-learn has it; `fit` may also take `groups`."""

    classes_: NDArray

    @property
    def fit(self) -> Callable[..., Any]:
        """Learn from rows and their class names."""
        ...

    def predict_proba(self, X: Any) -> Any:
        """Probabilities (sample, class), in the order of `classes_`."""
        ...


@dataclass(frozen=True)
class NestedScores:
    """Outcome of a nested cross-validation.

    Parameters
    ----------
    table : DataFrame, indexed by fold and class
        Of the left-out rows: n, accuracy, precision, recall, F1, NLL (nats), ECE, and the settings that the inner folds
        chose. The class "all" holds the whole fold, with precision, recall and F1 as means over its classes; the
        accuracy of a class is the share of its rows that were named rightly, its ECE that of the rows named so.
    proba : (sample, class) array
        Of each row, by the classifier that never saw its group; 0 for classes that this one had not met.
    truth : (sample,) array
        Class names.
    folds : (sample,) int array
        In which each row was left out.
    classes : (class,) array
        Names, in the order of `proba`.
    confusion : DataFrame
        Numbers of rows, true classes down, predicted ones across.
    """

    table: pd.DataFrame
    proba: Array
    truth: NDArray
    folds: Codes
    classes: NDArray
    confusion: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """Accuracy, NLL and ECE of whole folds: mean and standard deviation over folds, and of all rows together."""
        scores = self.table.xs("all", level="class")[["accuracy", "NLL", "ECE"]]
        together = {name: measure(self.proba, self.truth, self.classes) for name, measure in _MEASURES.items()}
        return pd.DataFrame({"mean": scores.mean(), "sd": scores.std(), "all rows": together})

    def __str__(self) -> str:
        return f"{len(self.truth)} rows, {len(np.unique(self.folds))} folds\n{self.summary.round(4)}"

    def __repr__(self) -> str:
        found = self.summary["all rows"]
        return f"NestedScores({len(self.truth)} rows, accuracy {found['accuracy']:.4f}, NLL {found['NLL']:.4f})"

    def _repr_html_(self) -> str:
        head = f"<p>{len(self.truth)} rows, {len(np.unique(self.folds))} folds</p>"
        folds = self.table.xs("all", level="class")
        return "".join([head, *(table.to_html(float_format="%.4g", na_rep="") for table in (self.summary, folds))])


_MEASURES = {"accuracy": accuracy, "NLL": negative_log_likelihood, "ECE": expected_calibration_error}


def nested_cross_validate(
    make: Callable[..., Classifies],
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | Literal["rows are independent"],
    grid: Mapping[str, Sequence[Any]] | None = None,
    outer: int = 5,
    inner: int = 3,
    seed: int = 0,
    folds: ArrayLike | None = None,
) -> NestedScores:
    """Score a classifier on left-out groups, its settings chosen without them.

    Parameters
    ----------
    make : callable
        ``make(**settings)`` gives an unfitted classifier with `fit(X, y, groups)`, `predict_proba` and `classes_`.
    X : (sample, feature) array or DataFrame
    y : (sample,) array
        Class names.
    groups : (sample,) array, or "rows are independent"
        Rows that must stay together, such as those of one paper. None is refused.
    grid : mapping of setting -> candidates, optional
        All combinations are tried in the inner folds, by negative log-likelihood; ``make()`` alone where left out.
    outer, inner : int
        Numbers of folds; the inner ones are cut from the training rows of an outer one.
    seed : int
        Of the folds.
    folds : (sample,) int array, optional
        Outer folds fixed beforehand, in place of `outer`; no group may be in two of them.

    Returns
    -------
    NestedScores

    Raises
    ------
    DataError
        If there are no groups, a group is in two of the folds given, or lengths and numbers do not fit.

    Warns
    -----
    ProbspecWarning
        Naming the classes that the training rows of some fold lack. They get probability 0 there, which counts as the
        floor of `negative_log_likelihood`.

    Examples
    --------
    >>> from probspec.baselines import GaussianDiscriminant
    >>> rng = np.random.default_rng(0)
    >>> y, paper = np.repeat(["olivine", "quartz"], 60), np.tile(np.repeat(np.arange(6), 10), 2)
    >>> X = rng.normal(np.where(y == "quartz", 100, 40)[:, None], 1, (120, 2))
    >>> scores = nested_cross_validate(lambda: GaussianDiscriminant([1], [1e-3]), X, y, paper, outer=3)
    >>> scores
    NestedScores(120 rows, accuracy 1.0000, NLL 0.0000)
    >>> scores.confusion.loc["quartz", "olivine"].item()
    0
    """
    X = X if isinstance(X, pd.DataFrame) else np.asarray(X)
    truth = check_labels(y, len(X))
    run = _Run(make, X, truth, check_groups(groups, len(X)), np.unique(truth))
    splits = _outer_folds(run, outer, seed) if folds is None else fixed_folds(folds, run.groups)
    candidates = _candidates(grid or {})
    proba, fold_of, tables = np.zeros((len(truth), len(run.classes))), np.zeros(len(truth), np.int64), {}
    for number, (train, test) in splits.items():
        _warn_of_absent(number, run.classes, truth[train])
        chosen = run.choose(candidates, train, inner, child_seed(seed, number))
        proba[test], fold_of[test] = run.left_out(chosen, train, test), number
        tables[number] = _report(proba[test], truth[test], run.classes, chosen)
    table = pd.concat(tables, names=["fold", "class"])
    return NestedScores(table, proba, truth, fold_of, run.classes, _confusion(proba, truth, run.classes))


@dataclass(frozen=True)
class _Run:
    """What is cross-validated."""

    make: Callable[..., Classifies]
    X: Any
    y: NDArray
    groups: Codes
    classes: NDArray

    def choose(self, candidates: list[Settings], train: Codes, count: int, seed: int) -> Settings:
        """Take the settings of the lowest negative log-likelihood in folds of the training rows."""
        if len(candidates) == 1:
            return candidates[0]
        codes = self.groups[train]
        splits = grouped_folds(self.y[train], codes, min(count, len(np.unique(codes))), seed)
        losses = [self._loss(settings, train, splits) for settings in candidates]
        return candidates[int(np.argmin(losses))]

    def _loss(self, settings: Settings, rows: Codes, splits: Splits) -> float:
        parts = [self.left_out(settings, rows[train], rows[test]) for train, test in splits]
        truth = np.concatenate([self.y[rows[test]] for _, test in splits])
        return negative_log_likelihood(np.concatenate(parts), truth, self.classes)

    def left_out(self, settings: Settings, train: Codes, test: Codes) -> Array:
        """Probabilities of the rows `test`, by a classifier that saw the rows `train`."""
        classifier = self.make(**settings)
        takes_groups = "groups" in inspect.signature(classifier.fit).parameters  # those of scikit-learn take none
        groups = {"groups": self.groups[train]} if takes_groups else {}
        classifier.fit(self._rows(train), self.y[train], **groups)
        return aligned(classifier.predict_proba(self._rows(test)), np.asarray(classifier.classes_), self.classes)

    def _rows(self, index: Codes) -> Any:
        return self.X.iloc[index] if isinstance(self.X, pd.DataFrame) else self.X[index]


def _outer_folds(run: _Run, count: int, seed: int) -> dict[int, tuple[Codes, Codes]]:
    return dict(enumerate(grouped_folds(run.y, run.groups, count, seed)))


def _candidates(grid: Mapping[str, Sequence[Any]]) -> list[Settings]:
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
            raise DataError(explain(f"grid[{name!r}]", f"got {values!r}", expected="a list of candidates"))
    return list(ParameterGrid(grid))


def _warn_of_absent(number: int, classes: NDArray, met: NDArray) -> None:
    absent = np.setdiff1d(classes, met)
    if len(absent):
        text = f"no row of {', '.join(map(str, absent))} to learn from; they get probability 0, floored in the NLL"
        warnings.warn(explain(f"fold {number}", text), ProbspecWarning, stacklevel=3)


def _report(proba: Array, truth: NDArray, classes: NDArray, chosen: Settings) -> pd.DataFrame:
    by_class = class_report(proba, truth, classes)
    by_class = by_class[by_class["n"] > 0]
    by_class.insert(1, "accuracy", by_class["recall"])
    whole = by_class.mean().to_dict() | {name: measure(proba, truth, classes) for name, measure in _MEASURES.items()}
    by_class.loc["all"] = pd.Series(whole | {"n": len(truth)})
    return by_class.astype({"n": int}).assign(**{name: [value] * len(by_class) for name, value in chosen.items()})


def _confusion(proba: Array, truth: NDArray, classes: NDArray) -> pd.DataFrame:
    counts = confusion_matrix(truth, classes[proba.argmax(1)], labels=classes)
    return pd.DataFrame(counts, pd.Index(classes, name="true"), pd.Index(classes, name="predicted"))
