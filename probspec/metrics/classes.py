"""How often predicted classes are right, and how honest their probabilities are.

All take the probabilities (sample, class) and the true classes, which are column numbers, or names where the names of
the columns are given. The confidence of a row is its largest probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

from probspec.errors import DataError, explain, known
from probspec.metrics.compositions import FLOOR, closed

Classes = Sequence[str] | NDArray | None


def accuracy(proba: ArrayLike, y: ArrayLike, classes: Classes = None) -> float:
    """Share of rows whose likeliest class is the true one.

    Parameters
    ----------
    proba : (sample, class) array, probability
    y : (sample,) array
        True classes: names where `classes` is given, else column numbers.
    classes : (class,) array, optional
        Names of the columns.

    Raises
    ------
    DataError
        If rows of `proba` are no probabilities, lengths differ, or a true class has no column.

    Examples
    --------
    >>> accuracy([[0.9, 0.1], [0.6, 0.4]], ["quartz", "zircon"], classes=["quartz", "zircon"])
    0.5
    """
    p, codes = _classified(proba, y, classes)
    return float(accuracy_score(codes, p.argmax(1)))


def negative_log_likelihood(proba: ArrayLike, y: ArrayLike, classes: Classes = None, floor: float = FLOOR) -> float:
    """Mean negative log-likelihood of the true classes, in nats.

    Parameters
    ----------
    proba, y, classes
        As in `accuracy`.
    floor : float
        Probabilities are clipped there and renormalised, so that a class wrongly ruled out costs much (13.8 nats) but
        not infinitely much.

    Raises
    ------
    DataError
        As in `accuracy`.

    Examples
    --------
    >>> round(negative_log_likelihood([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 4)
    0.4904
    """
    p, codes = _classified(proba, y, classes)
    return float(log_loss(codes, closed(p.clip(floor)), labels=np.arange(p.shape[1])))


def calibration_table(proba: ArrayLike, y: ArrayLike, classes: Classes = None, bins: int = 15) -> pd.DataFrame:
    """Confidence against accuracy, in bins of equal width on [0, 1] (reliability diagram; Guo et al. 2017).

    Parameters
    ----------
    proba, y, classes
        As in `accuracy`.
    bins : int
        Each holds its upper edge; the lowest also 0.

    Returns
    -------
    DataFrame
        A row for each bin that is not empty: `lower`, `upper`, `n`, mean `confidence`, `accuracy`.

    Raises
    ------
    DataError
        As in `accuracy`, or if `bins` is below 1.

    Examples
    --------
    >>> calibration_table([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], [0, 1, 0], bins=2).loc[1, ["n", "accuracy"]].tolist()
    [3.0, 0.6666666666666666]
    """
    if bins < 1:
        raise DataError(explain("bins", f"got {bins}", expected="1 or more"))
    p, codes = _classified(proba, y, classes)
    confidence, right = p.max(1), p.argmax(1) == codes
    edges = np.linspace(0, 1, bins + 1)
    rows = pd.DataFrame({"bin": np.digitize(confidence, edges[1:-1], right=True), "c": confidence, "right": right})
    table = rows.groupby("bin").agg(n=("c", "size"), confidence=("c", "mean"), accuracy=("right", "mean"))
    table.insert(0, "lower", edges[table.index])
    table.insert(1, "upper", edges[table.index + 1])
    return table


def expected_calibration_error(proba: ArrayLike, y: ArrayLike, classes: Classes = None, bins: int = 15) -> float:
    """Mean distance of confidence from accuracy (ECE of the top label; Guo et al. 2017, eq. 3).

    ECE = sum over bins of n_bin / n * abs(accuracy_bin - mean confidence_bin), in `bins` bins of equal width on [0, 1].
    Even calibrated probabilities have one above 0, of the order of sqrt(number of filled bins / n).

    Parameters
    ----------
    proba, y, classes, bins
        As in `calibration_table`.

    Raises
    ------
    DataError
        As in `calibration_table`.

    Examples
    --------
    >>> round(expected_calibration_error([[0.9, 0.1], [0.9, 0.1]], [0, 1]), 4)
    0.4
    """
    table = calibration_table(proba, y, classes, bins)
    return float(np.average(np.abs(table["accuracy"] - table["confidence"]), weights=table["n"]))


def class_report(proba: ArrayLike, y: ArrayLike, classes: Sequence[str] | NDArray, bins: int = 15) -> pd.DataFrame:
    """How well each class is found, and how honest its probabilities are.

    Parameters
    ----------
    proba, y, classes, bins
        As in `calibration_table`.

    Returns
    -------
    DataFrame, indexed by class
        `n` rows of the class; `precision`, `recall`, `F1`; `NLL`, mean over its rows, in nats; `ECE`, of the rows that
        are named so, whatever they are (calibration by top label; Gupta & Ramdas 2022). NaN where there is no such row.

    Raises
    ------
    DataError
        As in `calibration_table`.

    Examples
    --------
    >>> report = class_report([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], ["a", "b", "b"], ["a", "b"])
    >>> report[["n", "precision", "recall"]].values.tolist()
    [[1.0, 0.5, 1.0], [2.0, 1.0, 0.5]]
    """
    p, codes = _classified(proba, y, classes)
    named, columns = p.argmax(1), range(p.shape[1])
    precision, recall, f1, n = precision_recall_fscore_support(codes, named, labels=columns, zero_division=np.nan)
    return pd.DataFrame(
        {
            "n": n,
            "precision": precision,
            "recall": recall,
            "F1": f1,
            "NLL": [_of(negative_log_likelihood, p, codes, codes == k) for k in columns],
            "ECE": [_of(partial(expected_calibration_error, bins=bins), p, codes, named == k) for k in columns],
        },
        index=pd.Index(np.asarray(classes), name="class"),
    )


class Selective(NamedTuple):
    """Accuracy of the surest rows, which unpacks as ``coverage, accuracy``.

    Parameters
    ----------
    coverage : (cut-off,) array
        Share of rows that are kept, rising to 1.
    accuracy : (cut-off,) array
        Of the rows that are kept.
    """

    coverage: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def selective_accuracy(proba: ArrayLike, y: ArrayLike, classes: Classes = None) -> Selective:
    """Accuracy of the rows that are kept when the least confident are set aside (El-Yaniv & Wiener 2010).

    Parameters
    ----------
    proba, y, classes
        As in `accuracy`.

    Returns
    -------
    Selective
        One entry for each confidence that occurs, from the highest down; rows of one confidence come together.

    Raises
    ------
    DataError
        As in `accuracy`.

    Examples
    --------
    >>> selective_accuracy([[0.9, 0.1], [0.6, 0.4]], [0, 1])
    Selective(coverage=array([0.5, 1. ]), accuracy=array([1. , 0.5]))
    """
    p, codes = _classified(proba, y, classes)
    confidence, right = p.max(1), p.argmax(1) == codes
    order = np.argsort(-confidence, kind="stable")
    last = np.flatnonzero(np.append(np.diff(confidence[order]) < 0, True))
    kept = last + 1
    return Selective(kept / len(p), right[order].cumsum()[last] / kept)


def threshold_for(confidence: ArrayLike, coverage: float) -> float:
    """Highest cut-off on the confidence that keeps at least a wanted share of the rows.

    Parameters
    ----------
    confidence : (sample,) array, probability
        Largest probability of each row; best of rows that the classifier did not learn from.
    coverage : float
        Share of rows to keep, those with ``confidence >= threshold``. Where rows tie at the cut-off, more are kept.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If confidences are not finite, or `coverage` is not above 0 and up to 1.

    Examples
    --------
    >>> threshold_for([0.99, 0.5, 0.9, 0.8], coverage=0.75)
    0.8
    """
    values = np.asarray(confidence, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise DataError(explain("confidence", f"shape {values.shape}", expected="(sample,) finite probabilities"))
    if not 0 < coverage <= 1:
        raise DataError(explain("coverage", f"got {coverage}", expected="a share above 0, up to 1"))
    kept = int(np.ceil(coverage * len(values) * (1 - 1e-12)))
    return float(np.sort(values)[-kept])


def _of(measure: Callable[..., float], p: NDArray[np.float64], codes: NDArray[np.int64], rows: NDArray) -> float:
    return measure(p[rows], codes[rows]) if rows.any() else np.nan


def _classified(proba: ArrayLike, y: ArrayLike, classes: Classes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    p, truth = np.asarray(proba, float), np.asarray(y)
    if p.ndim != 2 or truth.shape != p.shape[:1] or p.shape[0] < 1 or p.shape[1] < 2:
        problem = f"shapes {p.shape} and {truth.shape}"
        raise DataError(explain("proba and y", problem, expected="(sample, two classes or more) and (sample,)"))
    wrong = np.flatnonzero(~((p >= 0).all(1) & (np.abs(p.sum(1) - 1) < 1e-3)))  # NaN is wrong as well
    if len(wrong):
        raise DataError(explain(f"proba[{wrong[0]}]", f"{p[wrong[0]]}", expected="probabilities that sum to 1"))
    return p, _codes(truth, classes, p.shape[1])


def _codes(truth: NDArray, classes: Classes, count: int) -> NDArray[np.int64]:
    names = list(range(count)) if classes is None else np.asarray(classes).tolist()
    if len(names) != count:
        raise DataError(explain("classes", f"{len(names)} names", expected=f"{count}, one for each column of proba"))
    places = {name: k for k, name in enumerate(names)}
    for i, name in enumerate(truth.tolist()):
        if name not in places:
            raise DataError(explain(f"y[{i}]", f"{name!r} has no column; {known(name, map(str, names))}"))
    return np.array([places[name] for name in truth.tolist()], np.int64)
