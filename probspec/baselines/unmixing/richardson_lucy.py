"""Amplitudes of fixed spectra by expectation maximisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from probspec.baselines.unmixing.base import Unmixing, fixed_parameters
from probspec.baselines.unmixing.poisson import even_start, multiply
from probspec.counts import Counts
from probspec.errors import DataError, explain
from probspec.mixtures import Mixture
from probspec.surrogates import Surrogate


class RichardsonLucy(Unmixing):
    """Maximum likelihood of amplitudes with fixed spectra, by multiplication (MLEM).

    Richardson, JOSA 62 (1972) 55; Lucy, Astron. J. 79 (1974) 745; Shepp & Vardi, IEEE TMI 1 (1982) 113.

    Parameters
    ----------
    surrogates, background, shared, shape, exposure, mask
        As for `Unmixing`.
    at : mapping of component -> (parameter,) array, optional
        Parameters at which spectra are held; the middle of the range where left out.
    iterations : int
        At most.
    tolerance : float
        Share of a spectrum's counts by which no amplitude may change any more.

    Examples
    --------
    >>> found = RichardsonLucy({"left": [3, 1, 0], "right": [0, 1, 3]}).fit([[6.0, 4.0, 6.0], [0.0, 2.0, 6.0]])
    >>> found.amplitudes_.round(1)
    array([[8., 8.],
           [0., 8.]])
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
        iterations: int = 1000,
        tolerance: float = 1e-6,
    ):
        super().__init__(surrogates, background, shared, shape, exposure, mask)
        self.at, self.iterations, self.tolerance = at, iterations, tolerance

    def _solve(self, mixture: Mixture, counts: Counts) -> tuple[Tensor, Tensor]:
        if self.iterations < 1:
            raise DataError(explain("iterations", str(self.iterations), expected="1 or more"))
        parameters = fixed_parameters(mixture, self.at)
        spectra, values, exposure = mixture.spectra(parameters), counts.values, counts.exposure
        amplitude = even_start(values, exposure, spectra)
        least = self.tolerance * amplitude.sum(-1, keepdim=True)
        moving = torch.arange(len(counts))
        for _ in range(self.iterations):
            before = amplitude[moving]
            amplitude[moving] = multiply(before, values[moving], exposure[moving], spectra)
            moving = moving[((amplitude[moving] - before).abs() > least[moving]).any(-1)]
            if not len(moving):
                break
        return amplitude, parameters.expand(len(counts), -1)
