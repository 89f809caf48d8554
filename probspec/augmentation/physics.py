"""Do generated pairs obey the physics? The Beer-Lambert residual, held against that of real pairs left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from probspec.nets.beer_lambert import regress

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PhysicsCheck:
    """Limit to what a pair may leave of the law of Beer and Lambert.

    Parameters
    ----------
    pure : (ion + 1, channel) array
        Spectra at the largest concentrations, and at the mean ones, by regression on the training pairs.
    root : (ion + 1, ion + 1) array
        Of the covariance of `pure`, in units of that of one spectrum.
    largest, mean : (ion,) array
        By which concentrations are divided; what is then taken off.
    spread : (channel,) array
        Standard deviation of real residuals as of pairs left out.
    limit : float
        Largest residual of a pair: root mean square over channels, in units of `spread` and of the uncertainty of
        the pure spectra at its concentrations.
    """

    pure: Array
    root: Array
    largest: Array
    mean: Array
    spread: Array
    limit: float

    @classmethod
    def fit(cls, X: Array, C: Array, tolerance: float = 1.5) -> PhysicsCheck:
        """Take the limit from real pairs.

        Parameters
        ----------
        X : (sample, channel) array
        C : (sample, ion) array
        tolerance : float
            Factor on the largest residual of a real pair.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> C = rng.random((30, 2))
        >>> X = C @ rng.random((2, 50)) + 0.01 * rng.standard_normal((30, 50))
        >>> check = PhysicsCheck.fit(X, C)
        >>> check.accepts(X, C).all(), check.accepts(X + 0.2, C).any()
        (np.True_, np.False_)
        """
        largest = np.maximum(np.abs(C).max(0), 1e-300)
        mean = (C / largest).mean(0)
        found = regress(torch.tensor(X), torch.from_numpy(C / largest - mean), directions=0)
        pure, root, _, spread = (part.double().numpy() for part in found)
        floor = max(1e-9 * float(np.abs(X).max()), 1e-300)
        made = cls(pure, root, largest, mean, np.maximum(spread, floor), np.inf)
        design = made._design(C)
        left_out = (X - design @ pure) / np.sqrt(np.maximum(1 - ((design @ root) ** 2).sum(1), 0.2))[:, None]
        largest_seen = np.sqrt(((left_out / made.spread) ** 2).mean(1)).max()
        return cls(pure, root, largest, mean, made.spread, tolerance * float(largest_seen))

    def residual(self, X: Array, C: Array) -> Array:
        """Root mean square residual of pairs, (sample,), about 1 for real ones."""
        design = self._design(C)
        width = np.sqrt(1 + ((design @ self.root) ** 2).sum(1))[:, None]
        return np.sqrt((((X - design @ self.pure) / (self.spread * width)) ** 2).mean(1))

    def accepts(self, X: Array, C: Array) -> NDArray[np.bool_]:
        """Whether each pair is within the limit, (sample,)."""
        return self.residual(X, C) <= self.limit

    def _design(self, C: Array) -> Array:
        return np.hstack([C / self.largest - self.mean, np.ones((len(C), 1))])
