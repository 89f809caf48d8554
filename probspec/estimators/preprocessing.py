"""Preprocessing of LIBS spectra as scikit-learn transformers (Vrabel et al. 2023); others: `baseline_correction`."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d, minimum_filter1d
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from probspec.errors import DataError, explain

Array = NDArray[np.float64]


class SlidingMinimumBaseline(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Subtract a baseline: the minimum of a sliding window, smoothed by a Gaussian.

    Parameters
    ----------
    window : int, channels
    smoothing : float, channels
        Width of the Gaussian in channels: its full support is twice that to either side, its standard deviation half.

    Examples
    --------
    >>> spectrum = np.full((1, 300), 5.0)
    >>> spectrum[0, 150] = 9.0
    >>> left = SlidingMinimumBaseline().fit_transform(spectrum)[0]
    >>> bool(abs(left[0]) < 1e-9), round(float(left[150]), 6)
    (True, 4.0)
    """

    def __init__(self, window: int = 100, smoothing: float = 50.0):
        self.window = window
        self.smoothing = smoothing

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Only looks at the number of channels."""
        if self.window < 1 or self.smoothing <= 0:
            problem = f"window={self.window}, smoothing={self.smoothing}"
            raise DataError(explain("SlidingMinimumBaseline", problem, expected="numbers of channels above 0"))
        validate_data(self, X, dtype=np.float64)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Spectra without their baseline : (sample, channel)."""
        check_is_fitted(self)
        spectra = validate_data(self, X, dtype=np.float64, reset=False)
        return spectra - self.baseline(spectra)

    def baseline(self, X: Array) -> Array:
        """The baseline itself."""
        low = minimum_filter1d(X, self.window, axis=1, mode="nearest")
        return gaussian_filter1d(low, 0.5 * self.smoothing, axis=1, mode="nearest")


class ReversibleScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Standardise each channel of one instrument's set; `inverse_transform` goes back.

    A channel that is the same in every spectrum is only centred.

    Examples
    --------
    >>> X = np.array([[1.0, 7.0], [3.0, 7.0]])
    >>> scaler = ReversibleScaler().fit(X)
    >>> scaler.transform(X)
    array([[-1.,  0.],
           [ 1.,  0.]])
    >>> bool((scaler.inverse_transform(scaler.transform(X)) == X).all())
    True
    """

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Take means and spreads."""
        spectra = np.asarray(validate_data(self, X, dtype=np.float64))
        self.mean_ = spectra.mean(0)
        spread = spectra.std(0)
        self.scale_ = np.where(spread > 1e-12 * (np.abs(self.mean_) + spread), spread, 1.0)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """To units of each channel's spread : (sample, channel)."""
        check_is_fitted(self, "scale_")
        return (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) / self.scale_

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Back to the unit of the spectra : (sample, channel)."""
        check_is_fitted(self, "scale_")
        return np.asarray(X, dtype=np.float64) * self.scale_ + self.mean_
