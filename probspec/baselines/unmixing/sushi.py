"""Maps of amplitudes and parameters whose starlet coefficients are sparse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from probspec.baselines.unmixing.base import Unmixing
from probspec.baselines.unmixing.poisson import LEAST, against, even_start, log_likelihood, mixed, multiply
from probspec.counts import Counts
from probspec.errors import DataError, explain
from probspec.mixtures import Mixture
from probspec.starlet import inverse, robust_sigma, starlet
from probspec.surrogates import Surrogate

FIRST_STEPS = 50
"""Multiplications that give the smoothed counts their amplitudes."""

LOOK_BACK = 10
"""Iterations over which the cost is compared."""


class Sushi(Unmixing):
    """Unmixing of a cube with parameter maps that are sparse in starlets, by proximal gradient and Newton steps.

    Component by component: a gradient step of its parameters, a soft threshold of their starlet coefficients, at
    ``threshold`` times the noise that the step brings, and a Newton step of its amplitudes, which are not negative;
    until the cost is flat. It starts from smoothed counts and parameters in the middle of their range. Semi-blind
    unmixing with sparsity for hyperspectral images, as published (Lascar, Bobin & Acero, arXiv 2404.03490, 2024), with
    one length of step for each parameter: the inverse of the largest curvature of all pixels.

    Parameters
    ----------
    surrogates, background, shared, shape, exposure, mask
        As for `Unmixing`.
    scales : int
        Scales of the starlets.
    threshold : float
        Of the coefficients, in standard deviations of the gradient's noise on their scale.
    step : float
        Length of the gradient's step, relative to the inverse curvature; from 2 on it runs away.
    iterations : int
        At most.
    tolerance : float, nats
        Fall of the cost per pixel and iteration at which it counts as flat.

    Attributes
    ----------
    cost_ : list of float, nats per pixel
        Negative log likelihood after each iteration, up to a constant.

    Examples
    --------
    >>> import numpy as np
    >>> width, place = np.linspace(0.1, 0.3, 9), np.linspace(0, 1, 40)
    >>> peak = np.exp(-0.5 * ((place - 0.5) / width[:, None]) ** 2)
    >>> line = Surrogate.fit(peak, width, names=["width"])
    >>> cube = 1000 * line.predict({"width": np.full((6, 6), 0.17)}) + 10
    >>> found = Sushi({"line": line}, background=np.ones(40)).fit(cube)
    >>> found.amplitudes_.mean((0, 1)).round(0), found.parameters_["line"].mean().round(2)
    (array([1000.,  400.]), np.float64(0.17))
    """

    def __init__(
        self,
        surrogates: Mapping[str, Surrogate | ArrayLike],
        background: ArrayLike | None = None,
        shared: Sequence[str] | None = None,
        shape: tuple[int, int] | None = None,
        exposure: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        scales: int = 2,
        threshold: float = 2.0,
        step: float = 1.8,
        iterations: int = 300,
        tolerance: float = 1e-4,
    ):
        super().__init__(surrogates, background, shared, shape, exposure, mask)
        self.scales, self.threshold, self.step = scales, threshold, step
        self.iterations, self.tolerance = iterations, tolerance

    def _solve(self, mixture: Mixture, counts: Counts) -> tuple[Tensor, Tensor]:
        self._check(counts)
        here = _start(mixture, counts, self.scales)
        self.cost_: list[float] = []
        for _ in range(self.iterations):
            for number, places in enumerate(_blocks(mixture)):
                if places:
                    here = self._move_parameters(mixture, counts, here, places)
                here = _move_amplitude(counts, here, number)
            self.cost_.append(-float(log_likelihood(counts.values, counts.exposure, here.expected).mean()))
            if self._is_flat():
                break
        return here.amplitude, here.parameters

    def _check(self, counts: Counts) -> None:
        if len(counts.shape) != 2:
            found = f"{len(counts)} spectra that are no map"
            raise DataError(explain("counts", found, expected="(y, x, channel)", fix="tell the map's shape=(y, x)"))
        for name in ("scales", "threshold", "step", "iterations"):
            value, least = getattr(self, name), 0 if name in ("scales", "threshold") else 1e-6
            if not value >= least:
                raise DataError(explain(name, str(value), expected="a positive number"))

    def _move_parameters(self, mixture: Mixture, counts: Counts, here: _Maps, places: list[int]) -> _Maps:
        slope, curvature = _slopes(mixture, counts, here, places)
        step = self.step / (len(places) * curvature.amax(0).clamp_min(LEAST))
        lower, upper = mixture.lower[places], mixture.upper[places]
        share = (here.parameters[:, places] - lower) / (upper - lower)
        moved = starlet(_as_maps(share + step * slope, counts.shape), self.scales)
        noise = robust_sigma(starlet(_as_maps(step * slope, counts.shape), self.scales))
        least = self.threshold * noise[..., None, None]
        least[-1] = 0  # what is left after all details is no detail
        sparse = moved.sign() * (moved.abs() - least).clamp_min(0)
        parameters = here.parameters.clone()
        parameters[:, places] = lower + (upper - lower) * _as_rows(inverse(sparse)).clamp(0, 1)
        return _Maps(here.amplitude, parameters, _renewed(mixture, here.spectra, parameters, places))

    def _is_flat(self) -> bool:
        if len(self.cost_) <= LOOK_BACK:
            return False
        return abs(self.cost_[-1 - LOOK_BACK] - self.cost_[-1]) < LOOK_BACK * self.tolerance


@dataclass(frozen=True)
class _Maps:
    amplitude: Tensor
    parameters: Tensor
    spectra: Tensor  # (pixel, component, channel), kept as they cost most

    @property
    def expected(self) -> Tensor:
        return mixed(self.amplitude, self.spectra)


def _blocks(mixture: Mixture) -> list[list[int]]:
    """Places of the parameters that are moved with each component; a shared one with the first that has it."""
    seen: set[int] = set()
    blocks = []
    for places in mixture.places:
        blocks.append([place for place in places if place not in seen])
        seen.update(places)
    return blocks


def _start(mixture: Mixture, counts: Counts, scales: int) -> _Maps:
    values, exposure = (_smoothed(of, counts.shape, scales) for of in (counts.values, counts.exposure))
    spectra = mixture.spectra(mixture.middle)
    amplitude = even_start(values, exposure, spectra)
    for _ in range(FIRST_STEPS):
        amplitude = multiply(amplitude, values, exposure, spectra)
    parameters = mixture.middle.expand(len(counts), -1).clone()
    return _Maps(amplitude, parameters, mixture.spectra(parameters))


def _slopes(mixture: Mixture, counts: Counts, here: _Maps, places: list[int]) -> tuple[Tensor, Tensor]:
    """Slope of the log likelihood and its expected curvature, (pixel, parameter), by shares of the ranges."""
    change = torch.zeros(len(counts), len(places), mixture.channels, dtype=torch.float64)
    for number in _concerned(mixture, places):
        _, jacobian = mixture.spectrum_with_jacobian(mixture.names[number], here.parameters)
        for own, place in zip(jacobian.unbind(-2), mixture.places[number], strict=True):
            if place in places:
                change[:, places.index(place)] += here.amplitude[:, number, None] * own
    change *= (mixture.upper - mixture.lower)[places, None]
    expected = here.expected.clamp_min(LEAST)
    slope = against(counts.values / expected - counts.exposure, change)
    return slope, against(counts.exposure / expected, change.square())


def _concerned(mixture: Mixture, places: list[int]) -> list[int]:
    """Components that have some of the parameters."""
    return [number for number, own in enumerate(mixture.places) if set(own) & set(places)]


def _renewed(mixture: Mixture, spectra: Tensor, parameters: Tensor, places: list[int]) -> Tensor:
    """Spectra (pixel, component, channel) after some parameters have moved."""
    spectra = spectra.clone()
    for number in _concerned(mixture, places):
        spectra[:, number] = mixture.spectrum(mixture.names[number], parameters)
    return spectra


def _move_amplitude(counts: Counts, here: _Maps, number: int) -> _Maps:
    """Newton step of one component's amplitudes."""
    own, expected = here.spectra[:, number], here.expected.clamp_min(LEAST)
    ratio = counts.values / expected
    slope = (own * (ratio - counts.exposure)).sum(-1)
    curvature = (own.square() * ratio / expected).sum(-1).clamp_min(LEAST)
    amplitude = here.amplitude.clone()
    amplitude[:, number] = (amplitude[:, number] + slope / curvature).clamp_min(0)
    return _Maps(amplitude, here.parameters, here.spectra)


def _smoothed(rows: Tensor, shape: tuple[int, ...], scales: int) -> Tensor:
    return _as_rows(starlet(_as_maps(rows, shape), scales)[-1])


def _as_maps(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    return rows.mT.reshape(-1, *shape)


def _as_rows(maps: Tensor) -> Tensor:
    return maps.flatten(-2).mT
