"""Honest rivals of spectral transfer: from spectra of a secondary to spectra of the primary.

All have one face, ``fit(X_secondary, X_primary)`` and ``transform(X_secondary)``. The strength of each (penalty,
components, width of a window) is chosen by cross-validation of RSE inside the rows that it was given.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neural_network import MLPRegressor

from probspec.baselines.regression import _pls_path
from probspec.errors import DataError, QueryError, explain
from probspec.metrics.transfer import relative_squared_error

Array = NDArray[np.float64]


class TransferBaseline(ABC):
    """A map from spectra to spectra whose strength is chosen by cross-validation.

    Parameters
    ----------
    strengths : sequence of float, optional
        Candidates; those of the method where left out.
    folds : int
    random_state : int

    Attributes
    ----------
    best_ : float
        The chosen strength.
    losses_ : (strength,) array
        RSE of the left-out rows for each.
    """

    default_strengths: ClassVar[tuple[float, ...]]

    def __init__(self, strengths: Sequence[float] | None = None, folds: int = 10, random_state: int = 0):
        self.strengths, self.folds, self.random_state = strengths, folds, random_state

    @abstractmethod
    def _path(self, secondary: Array, primary: Array, new: Array, strengths: Sequence[float]) -> list[Array]:
        """Spectra of the primary for `new`, once for each strength."""

    def fit(self, X_secondary: ArrayLike, X_primary: ArrayLike) -> Self:
        """Choose the strength, and keep the pairs.

        Parameters
        ----------
        X_secondary, X_primary : (sample, channel) array
            Row by row the same samples.

        Raises
        ------
        DataError
            If the rows do not pair or a value is not finite.
        """
        self.pairs_ = secondary, primary = _checked(X_secondary, "X_secondary"), _checked(X_primary, "X_primary")
        if len(secondary) != len(primary) or len(primary) < 3:
            problem = f"{len(secondary)} and {len(primary)} spectra"
            raise DataError(explain("X_secondary, X_primary", problem, expected="the same three samples or more"))
        strengths = self.default_strengths if self.strengths is None else tuple(self.strengths)
        self.losses_ = np.zeros(len(strengths))
        if len(strengths) > 1:
            self.losses_ = self._losses(secondary, primary, strengths)
        self.best_ = strengths[int(self.losses_.argmin())]
        return self

    def _losses(self, secondary: Array, primary: Array, strengths: Sequence[float]) -> Array:
        order = np.random.default_rng(self.random_state).permutation(len(primary))
        said = np.zeros((len(strengths), *primary.shape))
        for fold in range(min(self.folds, len(order))):
            asked = order[fold :: self.folds]
            taught = np.setdiff1d(order, asked)
            said[:, asked] = self._path(secondary[taught], primary[taught], secondary[asked], strengths)
        return np.array([relative_squared_error(primary, one) for one in said])

    def transform(self, X_secondary: ArrayLike) -> Array:
        """Spectra of the primary : (sample, channel of the primary).

        Raises
        ------
        QueryError
            Before `fit`.
        DataError
            If the number of channels is not the fitted one.
        """
        if not hasattr(self, "pairs_"):
            raise QueryError(explain(type(self).__name__, "is not fitted", fix="call fit(X_secondary, X_primary)"))
        secondary, primary = self.pairs_
        new = _checked(X_secondary, "X_secondary")
        if new.shape[1] != secondary.shape[1]:
            problem = f"{new.shape[1]} channels"
            raise DataError(explain("X_secondary", problem, expected=f"{secondary.shape[1]}, as fitted"))
        return self._path(secondary, primary, new, (self.best_,))[0]


class DirectStandardisation(TransferBaseline):
    """Least squares from all channels to all, by the pseudo-inverse of rank r (Wang, Veltkamp & Kowalski 1991).

    The strength is the smallest singular value that is kept, as a share of the largest.
    """

    default_strengths = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)

    def _path(self, secondary: Array, primary: Array, new: Array, strengths: Sequence[float]) -> list[Array]:
        mean, target = secondary.mean(0), primary.mean(0)
        left, size, right = np.linalg.svd(secondary - mean, full_matrices=False)
        scores, along = (new - mean) @ right.T / np.maximum(size, 1e-300), left.T @ (primary - target)
        ranks = [max(1, int((size > share * size[0]).sum())) for share in strengths]
        return [target + scores[:, :rank] @ along[:rank] for rank in ranks]


class PiecewiseDirectStandardisation(TransferBaseline):
    """Each channel from a window of the secondary's about the same relative position, by PCR of three components.

    The strength is the half-width of the window in channels.
    """

    default_strengths = (1, 3, 7, 15)
    components: ClassVar[int] = 3

    def _path(self, secondary: Array, primary: Array, new: Array, strengths: Sequence[float]) -> list[Array]:
        return [self._windows(secondary, primary, new, int(half)) for half in strengths]

    def _windows(self, secondary: Array, primary: Array, new: Array, half: int) -> Array:
        mean, target = secondary.mean(0), primary.mean(0)
        known, asked, wanted = secondary - mean, new - mean, primary - target
        places = np.linspace(0, secondary.shape[1] - 1, primary.shape[1]).round().astype(int)
        made = np.empty((len(new), primary.shape[1]))
        for place in np.unique(places):
            window = slice(max(0, place - half), place + half + 1)
            left, size, right = np.linalg.svd(known[:, window], full_matrices=False)
            rank = max(1, min(self.components, int((size > 1e-9 * max(size[0], 1e-300)).sum())))
            scores = asked[:, window] @ right[:rank].T / np.maximum(size[:rank], 1e-300)
            made[:, places == place] = scores @ (left[:, :rank].T @ wanted[:, places == place])
        return target + made


class RidgeTransfer(TransferBaseline):
    """Ridge regression of spectra on spectra; penalties are shares of the total variance."""

    default_strengths = tuple(10.0**k for k in np.arange(-8, -0.9, 0.5))

    def _path(self, secondary: Array, primary: Array, new: Array, strengths: Sequence[float]) -> list[Array]:
        mean, target = secondary.mean(0), primary.mean(0)
        left, size, right = np.linalg.svd(secondary - mean, full_matrices=False)
        scores, along, total = (new - mean) @ right.T, left.T @ (primary - target), (size**2).sum() + 1e-300
        return [target + (scores * (size / (size**2 + share * total))) @ along for share in strengths]


class PCRTransfer(TransferBaseline):
    """Regression on the first principal scores of the secondary."""

    default_strengths = (2, 4, 6, 8, 10, 12, 15, 20, 25, 30, 40)

    def _path(self, secondary: Array, primary: Array, new: Array, strengths: Sequence[float]) -> list[Array]:
        mean, target = secondary.mean(0), primary.mean(0)
        left, size, right = np.linalg.svd(secondary - mean, full_matrices=False)
        size = np.where(size > 1e-9 * size[0], size, np.inf)  # what is rounding says nothing
        scores, along = (new - mean) @ right.T / size, left.T @ (primary - target)
        return [target + scores[:, : int(k)] @ along[: int(k)] for k in strengths]


class PLSTransfer(TransferBaseline):
    """PLS2 of all channels of the primary at once."""

    default_strengths = (2, 4, 6, 8, 10, 12, 15, 20)

    def _path(self, secondary: Array, primary: Array, new: Array, strengths: Sequence[float]) -> list[Array]:
        mean, target = secondary.mean(0), primary.mean(0)
        left, size, right = np.linalg.svd(secondary - mean, full_matrices=False)
        inner, amount, outer = np.linalg.svd(primary - target, full_matrices=False)
        path = _pls_path(left * size, inner * amount, int(max(strengths)))
        return [target + (new - mean) @ right.T @ path[int(k)] @ outer for k in strengths]


class KNNTransfer(TransferBaseline):
    """Mean of the primary's spectra of the k samples whose secondary spectra are nearest."""

    default_strengths = (10,)

    def _path(self, secondary: Array, primary: Array, new: Array, strengths: Sequence[float]) -> list[Array]:
        far = (new**2).sum(1)[:, None] - 2 * new @ secondary.T + (secondary**2).sum(1)
        order = np.argsort(far, axis=1, kind="stable")
        return [primary[order[:, : int(k)]].mean(1) for k in strengths]


class MLPTransfer(TransferBaseline):
    """One-step network with hidden layers of 128 and 512, from standardised channels to standardised channels.

    The strength is its L2 penalty.
    """

    default_strengths = (1e-4,)

    def _path(self, secondary: Array, primary: Array, new: Array, strengths: Sequence[float]) -> list[Array]:
        mean, target = secondary.mean(0), primary.mean(0)
        spread, wide = (x.std() + 1e-300 for x in (secondary - mean, primary - target))
        made = []
        for penalty in strengths:
            network = MLPRegressor(
                hidden_layer_sizes=(128, 512),
                alpha=penalty,
                max_iter=300,
                tol=0.0,
                n_iter_no_change=300,
                random_state=self.random_state,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the number of epochs is fixed, and meant to be reached
                network.fit((secondary - mean) / spread, (primary - target) / wide)
            made.append(target + wide * np.reshape(np.asarray(network.predict((new - mean) / spread)), (len(new), -1)))
        return made


def _checked(values: ArrayLike, name: str) -> Array:
    block = np.asarray(values, dtype=np.float64)
    if block.ndim != 2 or not block.size:
        raise DataError(explain(name, f"shape {block.shape}", expected="(sample, channel)"))
    wrong = np.argwhere(~np.isfinite(block))
    if len(wrong):
        raise DataError(explain(f"{name}[{wrong[0][0]}, {wrong[0][1]}]", "not finite", expected="finite values"))
    return block
