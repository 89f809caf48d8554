"""Amplitudes of fixed spectra by least squares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from torch import Tensor

from probspec.baselines.unmixing.base import Unmixing, fixed_parameters
from probspec.counts import Counts
from probspec.mixtures import Mixture
from probspec.surrogates import Surrogate

Array = NDArray[np.float64]

HEAVY = 1e4
"""Weight of the sum's equation beside those of the channels."""


class NonNegativeLeastSquares(Unmixing):
    """Least squares of counts by fixed spectra with amplitudes that are not negative.

    Lawson & Hanson, Solving Least Squares Problems, 1974, ch. 23. With `closed`, the amplitudes also sum to the counts
    of the spectrum: fully constrained least squares (Heinz & Chang, IEEE TGRS 39 (2001) 529), by one heavy equation.

    Parameters
    ----------
    surrogates, background, shared, shape, exposure, mask
        As for `Unmixing`.
    at : mapping of component -> (parameter,) array, optional
        Parameters at which spectra are held; the middle of the range where left out.
    closed : bool
        Let expected and measured counts have one sum.

    Examples
    --------
    >>> found = NonNegativeLeastSquares({"left": [3, 1, 0], "right": [0, 1, 3]}).fit([[6.0, 4.0, 6.0], [8.0, 2.0, 0.0]])
    >>> found.amplitudes_.round(1)
    array([[ 8. ,  8. ],
           [10.4,  0. ]])
    """

    def __init__(
        self,
        surrogates: Mapping[str, Surrogate | ArrayLike],
        background: ArrayLike | None = None,
        shared: Sequence[str] | None = None,
        shape: tuple[int, int] | None = None,
        exposure: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        at: Mapping[str, ArrayLike] | None = None,
        closed: bool = False,
    ):
        super().__init__(surrogates, background, shared, shape, exposure, mask)
        self.at, self.closed = at, closed

    def _solve(self, mixture: Mixture, counts: Counts) -> tuple[Tensor, Tensor]:
        parameters = fixed_parameters(mixture, self.at)
        spectra = mixture.spectra(parameters).numpy()
        values, exposure = counts.values.numpy(), counts.exposure.numpy()
        if exposure.shape[1] == 1:
            found = self._alike(spectra, values) / np.where(exposure > 0, exposure, 1)
        else:
            found = np.stack([self._one(spectra * e, x) for x, e in zip(values, exposure, strict=True)])
        return torch.from_numpy(found), parameters.expand(len(counts), -1)

    def _alike(self, spectra: Array, values: Array) -> Array:
        """Amplitudes where all pixels have the same spectra: those of a small problem that a rotation leaves."""
        rotation, small = np.linalg.qr(spectra.T)
        totals, turned = values.sum(1), values @ rotation
        return np.stack([self._small(small, x, spectra.sum(1), n) for x, n in zip(turned, totals, strict=True)])

    def _one(self, spectra: Array, values: Array) -> Array:
        return self._small(spectra.T, values, spectra.sum(1), values.sum())

    def _small(self, equations: Array, values: Array, sums: Array, total: float) -> Array:
        if self.closed:
            weight = HEAVY * np.abs(equations).max()
            equations, values = np.vstack([equations, weight * sums]), np.append(values, weight * total)
        return nnls(equations, values)[0]
