"""Gaussian discriminant analysis of incomplete rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from probspec.baselines.classification import Array, Classifier, Codes
from probspec.baselines.incomplete import Normal, estimate, log_densities
from probspec.errors import DataError, explain, known
from probspec.folds import aligned, grouped_folds
from probspec.metrics import negative_log_likelihood

TINY = 1e-6  # variance, as a share of that of all rows, below which nothing is measured


VIEWS: dict[str, Callable[[Array], Array]] = {
    "raw": lambda X: X,
    "square root": lambda X: np.sign(X) * np.sqrt(np.abs(X)),  # minor oxides scatter more where there is more of them
}
"""How the values may be looked at; normal laws suit some views better than others."""


class Settings(NamedTuple):
    """One way to make a Gaussian discriminant."""

    view: str
    shrinkage: float
    ridge: float


class _Scaling(NamedTuple):
    """View of the rows in units of the spread of each column."""

    view: str
    centre: Array
    spread: Array

    @classmethod
    def of(cls, view: str, X: Array) -> _Scaling:
        seen = VIEWS[view](X)
        deviations = np.nanstd(seen, 0)
        return cls(view, np.nanmean(seen, 0), np.where(deviations > 0, deviations, 1.0))

    def __call__(self, X: Array) -> Array:
        return (VIEWS[self.view](X) - self.centre) / self.spread


class _Laws(NamedTuple):
    """Estimates from which the law of each class is made, in units of the spread of each column."""

    classes: NDArray
    counts: Array  # (class,), rows
    normals: list[Normal]
    pooled: Array  # (feature, feature), covariance within classes
    between: Array  # (feature,), variance of the class means
    reported: Array  # (class, feature), values

    def covariances(self, settings: Settings) -> Array:
        """Covariance (class, feature, feature) of a new row, what is not known about the class mean included."""
        own = np.stack([law.covariance for law in self.normals])
        rows = settings.shrinkage
        share = np.array([1.0 if math.isinf(rows) else rows / (rows + n) for n in self.counts])
        shrunk = (1 - share)[:, None, None] * own + share[:, None, None] * self.pooled
        shrunk = shrunk + settings.ridge * np.eye(len(self.pooled))
        within = np.diagonal(shrunk, axis1=1, axis2=2)
        of_mean = 1 / (1 / self.between + self.reported / within)
        return shrunk + of_mean[:, :, None] * np.eye(len(self.pooled))

    def log_joint(self, X: Array, settings: Settings) -> Array:
        """Log of class share times density of what is reported, (sample, class)."""
        means = np.stack([law.mean for law in self.normals])
        return log_densities(X, means, self.covariances(settings)) + np.log(self.counts / self.counts.sum())


class GaussianDiscriminant(Classifier):
    """Gaussian discriminant analysis with missing values integrated out (quadratic; Friedman 1989, regularised).

    The law of each class is normal; a row is judged by the marginal density of what it reports, times the share of the
    class in the training rows. Means and covariances come from incomplete rows by expectation maximisation, drawn to
    the mean of the class means and to the pooled covariance within classes, so that a class of one row, or one that
    never reports some column, has a law as well: a column that a class never reports varies as it does between classes.

    Parameters
    ----------
    shrinkages : sequence of float, rows
        Candidates: how many rows the pooled covariance counts for in each class; infinite makes it linear.
    ridges : sequence of float
        Candidates: added to the variances, as a share of the variance of each column over all rows.
    views : sequence of {"raw", "square root"}
        Candidates: how the values are looked at; the square root keeps the sign of values below detection.
    folds : int
        Folds of the grouped cross-validation that chooses by log loss; fewer where there are fewer groups.
    random_state : int
        Of the folds.

    Attributes
    ----------
    best_ : dict
        The chosen `view`, `shrinkage` and `ridge`, and their `loss` (nats; NaN where there was no choice).
    losses_ : dict of (view, shrinkage, ridge) -> float, nats

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["olivine", "quartz"], 40)
    >>> X = np.where(y == "quartz", 100, 40)[:, None] + rng.normal(0, [1, 2], (80, 2))
    >>> X[::3, 1] = np.nan
    >>> GaussianDiscriminant().fit(X, y).predict([[99, np.nan], [np.nan, 41]]).tolist()
    ['quartz', 'olivine']
    """

    def __init__(
        self,
        shrinkages: Sequence[float] = (1, 10, 100, 1000, math.inf),
        ridges: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1),
        views: Sequence[str] = tuple(VIEWS),
        folds: int = 3,
        random_state: int = 0,
    ):
        self.shrinkages = shrinkages
        self.ridges = ridges
        self.views = views
        self.folds = folds
        self.random_state = random_state

    def _learn(self, X: Array, y: NDArray, groups: Codes) -> None:
        candidates = self._candidates()
        self.losses_ = self._cross_validate(X, y, groups, candidates) if len(candidates) > 1 else {}
        self.settings_ = min(self.losses_, key=self.losses_.__getitem__) if self.losses_ else candidates[0]
        self.best_ = self.settings_._asdict() | {"loss": self.losses_.get(self.settings_, math.nan)}
        self.scaling_ = _Scaling.of(self.settings_.view, X)
        self.laws_ = _laws(self.scaling_(X), y)

    def _candidates(self) -> list[Settings]:
        for name, values in {"shrinkages": self.shrinkages, "ridges": self.ridges}.items():
            if not len(values) or not min(values) > 0:
                raise DataError(explain(name, f"got {values!r}", expected="a list of positive candidates"))
        for view in self.views:
            if view not in VIEWS:
                raise DataError(explain("views", f"got {view!r}; {known(view, VIEWS)}"))
        if not len(self.views):
            raise DataError(explain("views", "no view to try", fix="leave views out, or name one"))
        return [Settings(*one) for one in product(self.views, self.shrinkages, self.ridges)]

    def _cross_validate(self, X: Array, y: NDArray, groups: Codes, candidates: list[Settings]) -> dict[Settings, float]:
        splits = grouped_folds(y, groups, min(self.folds, len(np.unique(groups))), self.random_state)
        scaled = {view: _Scaling.of(view, X)(X) for view in self.views}
        parts: dict[Settings, list[Array]] = {settings: [] for settings in candidates}
        for train_rows, test_rows in splits:
            laws = {view: _laws(rows[train_rows], y[train_rows]) for view, rows in scaled.items()}
            for settings, found in parts.items():
                log_joint = laws[settings.view].log_joint(scaled[settings.view][test_rows], settings)
                found.append(aligned(softmax(log_joint, 1), laws[settings.view].classes, self.classes_))
        truth = np.concatenate([y[test] for _, test in splits])
        return {s: negative_log_likelihood(np.concatenate(found), truth, self.classes_) for s, found in parts.items()}

    def _probabilities(self, X: Array) -> Array:
        return softmax(self.laws_.log_joint(self.scaling_(X), self.settings_), 1)


def _laws(X: Array, y: NDArray) -> _Laws:
    """Estimate each class from its incomplete rows, in units of the spread of each column."""
    classes, codes = np.unique(y, return_inverse=True)
    reported = np.stack([(~np.isnan(X[codes == k])).sum(0) for k in range(len(classes))]).astype(float)
    totals = np.stack([np.nansum(X[codes == k], 0) for k in range(len(classes))])
    means = np.where(reported > 0, totals / np.maximum(reported, 1), np.nan)
    away = X - means[codes]
    centre = np.where(reported.any(0), np.nansum(means, 0) / np.maximum((reported > 0).sum(0), 1), 0.0)
    between = np.where((reported > 0).sum(0) > 1, np.nansum((means - centre) ** 2, 0), 0.0)
    between = between / np.maximum((reported > 0).sum(0) - 1, 1) + TINY
    within = np.nansum(away**2, 0) / np.maximum(reported.sum(0), 1) + TINY
    keep = np.full(X.shape[1], np.inf)
    pooled = estimate(away, Normal(np.zeros(X.shape[1]), np.diag(within)), keep, 1.0).covariance
    start = Normal(centre, pooled)
    normals = [estimate(X[codes == k], start, within / between, float(X.shape[1])) for k in range(len(classes))]
    return _Laws(classes, np.bincount(codes).astype(float), normals, pooled, between, reported)
