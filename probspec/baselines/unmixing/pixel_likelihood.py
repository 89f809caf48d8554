"""Maximum likelihood of every spectrum by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from numpy.typing import ArrayLike
from scipy.stats import qmc
from torch import Tensor

from probspec.baselines.unmixing.base import Unmixing
from probspec.baselines.unmixing.poisson import even_start, log_likelihood, mixed, multiply
from probspec.baselines.unmixing.scoring import Place, climb
from probspec.counts import Counts
from probspec.errors import DataError, explain
from probspec.mixtures import Mixture
from probspec.surrogates import Surrogate

TRIED = 12
"""Values tried of a single parameter; of several, twice as many places for each further one."""

FIRST_STEPS = 15
"""Multiplications that give the places tried their amplitudes."""

BLOCK = 2**21
"""Values of a block of Jacobians."""


class PixelLikelihood(Unmixing):
    """Poisson maximum likelihood of amplitudes and parameters, pixel by pixel.

    Amplitudes are not negative, parameters stay where the surrogates were taught. Many places of the parameters are
    tried, those that explain a spectrum best are its starts, and from each Fisher scoring climbs on.

    Parameters
    ----------
    surrogates, background, shared, shape, exposure, mask
        As for `Unmixing`.
    starts : int
        Starts of each spectrum.
    iterations : int
        Steps from a start, at most.
    tolerance : float, nats
        Gain at which a climb ends.

    Examples
    --------
    >>> import numpy as np
    >>> width, place = np.linspace(0.1, 0.3, 9), np.linspace(0, 1, 40)
    >>> peak = np.exp(-0.5 * ((place - 0.5) / width[:, None]) ** 2)
    >>> line = Surrogate.fit(peak, width, names=["width"])
    >>> counts = 1000 * line.predict({"width": 0.17}) + 10
    >>> found = PixelLikelihood({"line": line}, background=np.ones(40)).fit(counts[None])
    >>> found.amplitudes_.round(1), found.parameters_["line"].round(3)
    (array([[1000.,  400.]]), array([[0.17]]))
    """

    def __init__(
        self,
        surrogates: Mapping[str, Surrogate | ArrayLike],
        background: ArrayLike | None = None,
        shared: Sequence[str] | None = None,
        shape: tuple[int, int] | None = None,
        exposure: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        starts: int = 3,
        iterations: int = 200,
        tolerance: float = 1e-6,
    ):
        super().__init__(surrogates, background, shared, shape, exposure, mask)
        self.starts, self.iterations, self.tolerance = starts, iterations, tolerance

    def _solve(self, mixture: Mixture, counts: Counts) -> tuple[Tensor, Tensor]:
        for name in ("starts", "iterations"):
            if getattr(self, name) < 1:
                raise DataError(explain(name, str(getattr(self, name)), expected="1 or more"))
        unknowns = len(mixture.names) + len(mixture.parameter_names)
        rows = max(BLOCK // (self.starts * unknowns * mixture.channels), 1)
        blocks = zip(counts.values.split(rows), counts.exposure.split(rows), strict=True)
        places = [self._block(mixture, values, exposure) for values, exposure in blocks]
        return torch.cat([at.amplitude for at in places]), torch.cat([at.parameters for at in places])

    def _block(self, mixture: Mixture, values: Tensor, exposure: Tensor) -> Place:
        start = _starts(mixture, values, exposure, self.starts)
        count = len(start.height) // len(values)
        values, exposure = values.repeat(count, 1), exposure.repeat(count, 1)
        reached = climb(mixture, values, exposure, start, self.iterations, self.tolerance)
        height = reached.height.reshape(count, -1)
        return reached.rows(height.argmax(0) * height.shape[1] + torch.arange(height.shape[1]))


def _starts(mixture: Mixture, values: Tensor, exposure: Tensor, count: int) -> Place:
    """The best places of each spectrum, (start x pixel) rows: first the best of all pixels."""
    places = _places(mixture)
    tried = [_try(values, exposure, mixture.spectra(parameters)) for parameters in places]
    height = torch.stack([found for _, found in tried])
    chosen = height.topk(min(count, len(places)), dim=0).indices.flatten()
    pixel = torch.arange(len(values)).repeat(len(chosen) // len(values))
    amplitude = torch.stack([found for found, _ in tried])[chosen, pixel]
    return Place(amplitude, places[chosen], height[chosen, pixel])


def _try(values: Tensor, exposure: Tensor, spectra: Tensor) -> tuple[Tensor, Tensor]:
    """Amplitudes with given spectra after a few steps, and the log likelihood."""
    amplitude = even_start(values, exposure, spectra)
    for _ in range(FIRST_STEPS):
        amplitude = multiply(amplitude, values, exposure, spectra)
    return amplitude, log_likelihood(values, exposure, mixed(amplitude, spectra))


def _places(mixture: Mixture) -> Tensor:
    """Places that fill the range of the parameters evenly, (place, parameter)."""
    count = len(mixture.parameter_names)
    if count == 0:
        return mixture.lower.new_zeros(1, 0)
    if count == 1:
        share = (torch.arange(TRIED, dtype=torch.float64)[:, None] + 0.5) / TRIED
    else:
        share = torch.from_numpy(qmc.Halton(count, scramble=False).random(TRIED * 2 ** min(count - 1, 4) + 1)[1:])
    return mixture.lower + (mixture.upper - mixture.lower) * share
