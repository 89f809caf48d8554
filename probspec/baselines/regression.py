"""Regression: PLS, k nearest neighbours and ridge, from spectra to compositions.

Each tries the views of `probspec.nets.views` (raw, SNV, derivatives, centred logarithm, ...) and chooses the view and
its own strength (number of latent variables, neighbours, penalty) together, by grouped cross-validation inside the
rows it was given: rows of one group, by default of one composition, are never on both sides. Several modalities are
joined after each block is scaled to unit variance, and each may take its own view.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import NearestNeighbors

from probspec.blocks import Array, Preprocessing, blocks_of, training_rows
from probspec.errors import DataError, QueryError, explain
from probspec.metrics import mean_absolute_error
from probspec.nets.views import VIEWS, View, applicable

Splits = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
Predictor = Callable[[Array], Array]  # (sample, feature) -> (strength, sample, component)


class Baseline(ABC):
    """A regression whose views and strength are chosen by grouped cross-validation.

    Parameters
    ----------
    strengths : sequence of float, optional
        Candidates; those of the method where left out.
    views : mapping of name to View, optional
        Candidates, each a function of (sample, channel) that treats every row alone; all those of `probspec.nets.views`
        that suit the spectra where left out. With several modalities every combination is tried.
    folds : int
        Folds of the cross-validation; fewer where there are fewer groups.
    loss : callable
        (truth, predicted) -> float, taken over the predictions of all left-out rows together.

    Attributes
    ----------
    best_ : dict
        The chosen `view` (by modality where X was a dict), the strength under its own name, and the `loss`.
    losses_ : dict of tuple of view names -> (strength,) array
        Cross-validated loss of every candidate.
    """

    strength: ClassVar[str]
    default_strengths: ClassVar[tuple[float, ...]]

    def __init__(
        self,
        strengths: Sequence[float] | None = None,
        views: Mapping[str, View] | None = None,
        folds: int = 5,
        loss: Callable[[Array, Array], float] = mean_absolute_error,
    ):
        self.strengths = strengths
        self.views = views
        self.folds = folds
        self.loss = loss

    @abstractmethod
    def _learn(self, features: Array, targets: Array, strengths: Sequence[float]) -> Predictor:
        """Fit centred (sample, feature) to centred (sample, component), for every strength at once."""

    def fit(self, X: ArrayLike | Mapping[str, ArrayLike], Y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose the settings by grouped cross-validation, then fit all rows with them.

        Parameters
        ----------
        X : (sample, channel) or dict of modality -> (sample, channel)
            Spectra; rows of NaN are left out.
        Y : (sample, component)
            Targets, compositions where rows sum to 1; rows of NaN are left out.
        groups : (sample,), optional
            Rows that must stay together; those of one composition where left out.

        Returns
        -------
        Baseline
            This object, fitted.

        Raises
        ------
        DataError
            If shapes disagree, values are not finite, there are fewer than two groups, or a setting cannot be tried.
        """
        blocks, targets, labels = training_rows(X, Y, groups)
        splits, strengths = _splits(labels, self.folds), self._candidates()
        self.feasible_ = _feasible(targets)
        targets = self.feasible_(targets)  # closes compositions that were rounded
        combinations, self.losses_ = self._combinations(blocks), {}
        for names, views in combinations.items():
            features = Preprocessing.of(blocks, views)(blocks)
            self.losses_[names] = self._cross_validate(features, targets, splits, strengths)
        names = min(self.losses_, key=lambda n: self.losses_[n].min())
        best = int(self.losses_[names].argmin())
        self.preprocessing_ = Preprocessing.of(blocks, combinations[names])
        self.calibration_ = self._calibrate(self.preprocessing_(blocks), targets, strengths[best : best + 1])
        self.best_ = {
            "view": dict(zip(blocks, names, strict=True)) if isinstance(X, Mapping) else names[0],
            self.strength: strengths[best],
            "loss": float(self.losses_[names][best]),
        }
        return self

    def predict(self, X: ArrayLike | Mapping[str, ArrayLike]) -> Array:
        """Predict targets; compositions are clipped to the simplex, other non-negative targets at 0.

        Parameters
        ----------
        X : (sample, channel) or dict of modality -> (sample, channel)
            Spectra on the axes of those fitted.

        Returns
        -------
        (sample, component) array
            In the unit of the targets.

        Raises
        ------
        DataError
            If modalities or channels differ from those fitted, or values are not finite.
        QueryError
            If nothing was fitted yet.
        """
        if "best_" not in vars(self):
            raise QueryError(explain(f"{type(self).__name__}.predict", "not fitted yet", fix="call fit(X, Y) first"))
        blocks = blocks_of(X)
        self.preprocessing_.check(blocks)
        return self.feasible_(self.calibration_(self.preprocessing_(blocks))[0])

    def _candidates(self) -> list[float]:
        strengths = list(self.default_strengths if self.strengths is None else self.strengths)
        if not strengths or min(strengths) <= 0:
            raise DataError(explain("strengths", str(strengths), expected=f"positive values of {self.strength}"))
        return strengths

    def _combinations(self, blocks: Mapping[str, Array]) -> dict[tuple[str, ...], tuple[View, ...]]:
        views = VIEWS if self.views is None else self.views
        if not views:
            raise DataError(explain("views", "no view to try", fix="leave views out, or name one"))
        names = [applicable(torch.from_numpy(x)) if self.views is None else views for x in blocks.values()]
        return {chosen: tuple(views[name] for name in chosen) for chosen in product(*names)}

    def _calibrate(self, features: Array, targets: Array, strengths: Sequence[float]) -> Predictor:
        centre, level = features.mean(0), targets.mean(0)
        learnt = self._learn(features - centre, targets - level, strengths)
        return lambda new: level + learnt(new - centre)

    def _cross_validate(self, features: Array, targets: Array, splits: Splits, strengths: Sequence[float]) -> Array:
        predicted = np.empty((len(strengths), *targets.shape))
        for train, left_out in splits:
            calibration = self._calibrate(features[train], targets[train], strengths)
            predicted[:, left_out] = self.feasible_(calibration(features[left_out]))
        return np.array([self.loss(targets, predicted[i]) for i in range(len(strengths))])


class Ridge(Baseline):
    """Ridge regression, all penalties from one eigendecomposition (Hoerl & Kennard, Technometrics 12, 1970).

    The strength `alpha` is relative to the total variance of the features: a principal component that holds this
    share of the variance is shrunk by half.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Y = rng.dirichlet([1, 1, 1], size=40)
    >>> X = Y @ rng.random((3, 50)) + 1e-3 * rng.standard_normal((40, 50))
    >>> ridge = Ridge().fit(X[:30], Y[:30])
    >>> bool(np.abs(ridge.predict(X[30:]) - Y[30:]).max() < 0.01)
    True
    """

    strength = "alpha"
    default_strengths = tuple(np.logspace(-12, 0, 49).tolist())

    def _learn(self, features: Array, targets: Array, strengths: Sequence[float]) -> Predictor:
        variances, directions = np.linalg.eigh(features.T @ features)
        penalties = np.asarray(strengths) * variances.sum() + np.finfo(float).tiny
        shrunk = 1 / (variances.clip(0) + penalties[:, None])  # (strength, direction)
        coefficients = directions @ (shrunk[..., None] * (directions.T @ (features.T @ targets)))
        return lambda new: new @ coefficients


class PLS(Baseline):
    """Partial least squares on all components at once (PLS2; Wold, Sjöström & Eriksson 2001).

    The strength is the number of `latent_variables`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Y = rng.dirichlet([1, 1, 1], size=40)
    >>> X = Y @ rng.random((3, 50)) + 1e-3 * rng.standard_normal((40, 50))
    >>> PLS(views={"raw": VIEWS["raw"]}).fit(X, Y).best_["view"]
    'raw'
    """

    strength = "latent_variables"
    default_strengths = tuple(range(1, 61))

    def _learn(self, features: Array, targets: Array, strengths: Sequence[float]) -> Predictor:
        counts = np.asarray(strengths, int)
        coefficients = _pls_path(features, targets, counts.max())[counts]
        return lambda new: new @ coefficients


class KNN(Baseline):
    """Mean composition of the nearest spectra in Euclidean distance.

    The strength is the number of `neighbours`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Y = rng.dirichlet([1, 1, 1], size=40)
    >>> KNN([1, 3]).fit(Y @ rng.random((3, 50)), Y).best_["neighbours"] in (1, 3)
    True
    """

    strength = "neighbours"
    default_strengths = tuple(range(1, 21))

    def _learn(self, features: Array, targets: Array, strengths: Sequence[float]) -> Predictor:
        counts = np.minimum(np.asarray(strengths, int), len(features))
        index = NearestNeighbors(n_neighbors=int(counts.max())).fit(features)

        def predict(new: Array) -> Array:
            nearest = targets[index.kneighbors(new, return_distance=False)]
            means = nearest.cumsum(1) / np.arange(1, nearest.shape[1] + 1)[:, None]
            return means[:, counts - 1].swapaxes(0, 1)

        return predict


def _pls_path(features: Array, targets: Array, count: int) -> Array:
    """Coefficients (latent variable + 1, feature, component) of PLS2 with 0, 1, ... `count` latent variables.

    Kernel algorithm 1 of Dayal & MacGregor, J. Chemometrics 11 (1997) 73; equals converged NIPALS.
    """
    covariance = features.T @ targets
    path = np.zeros((count + 1, *covariance.shape))
    rotations, loadings = np.zeros((2, features.shape[1], count))
    negligible = 1e-14 * np.linalg.norm(features) ** 2
    for a in range(count):
        weight = np.linalg.svd(covariance, full_matrices=False)[0][:, 0]
        rotations[:, a] = weight - rotations @ (loadings.T @ weight)
        score = features @ rotations[:, a]
        size = score @ score
        if size <= negligible:  # the spectra hold no further direction
            path[a + 1 :] = path[a]
            break
        loadings[:, a], response = features.T @ score / size, covariance.T @ rotations[:, a] / size
        covariance = covariance - size * np.outer(loadings[:, a], response)
        path[a + 1] = path[a] + np.outer(rotations[:, a], response)
    return path


def _splits(groups: NDArray, folds: int) -> Splits:
    count = min(folds, len(np.unique(groups)))
    if count < 2:
        raise DataError(explain("groups", f"only {count} to cross-validate over", expected="two groups and two folds"))
    return list(GroupKFold(count).split(groups, groups=groups))


def _feasible(targets: Array) -> Callable[[Array], Array]:
    """Where predictions must lie, as the training targets show."""
    if targets.min() < 0:
        return lambda predicted: predicted
    composition = targets.shape[1] > 1 and np.abs(targets.sum(1) - 1).max() < 0.01
    return _clip_to_simplex if composition else lambda predicted: predicted.clip(0)


def _clip_to_simplex(predicted: Array) -> Array:
    # All methods are linear in the targets, so rows sum to 1 before clipping and cannot vanish by it.
    positive = predicted.clip(0)
    return positive / positive.sum(-1, keepdims=True)
