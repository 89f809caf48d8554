"""Fisher scoring inside bounds, of many spectra at once: each climbs its own likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from probspec.baselines.unmixing.poisson import LEAST, log_likelihood
from probspec.mixtures import Mixture

FLOOR = 1e-9
"""Added to the information, in units of the ranges: a parameter of a component that is absent stays where it is."""

EASIER, HARDER, STUCK = 0.2, 6.0, 1e8
"""Factors of the damping after a step that went up, or down; and the damping at which a row is done."""


@dataclass(frozen=True)
class Place:
    """Where each row has come to.

    Parameters
    ----------
    amplitude : (row, component) Tensor, counts
    parameters : (row, parameter) Tensor
    height : (row,) Tensor, nats
        Log likelihood.
    """

    amplitude: Tensor
    parameters: Tensor
    height: Tensor

    @classmethod
    def at(cls, mixture: Mixture, values: Tensor, exposure: Tensor, amplitude: Tensor, parameters: Tensor) -> Place:
        """Measure the height of a place."""
        expected = mixture.expected(amplitude, parameters)
        return cls(amplitude, parameters, log_likelihood(values, exposure, expected))

    def rows(self, index: Tensor) -> Place:
        """Some of the rows."""
        return Place(self.amplitude[index], self.parameters[index], self.height[index])


def climb(mixture: Mixture, values: Tensor, exposure: Tensor, start: Place, iterations: int, tolerance: float) -> Place:
    """Climb until a step that goes up gains less than the tolerance.

    Levenberg-Marquardt steps with the Fisher information as curvature; amplitudes and parameters at a bound that they
    would leave are held there, and what a step leaves outside is put on the bound.

    Parameters
    ----------
    mixture : Mixture
    values : (row, channel) Tensor, counts
    exposure : (row, channel) or (row, 1) Tensor
    start : Place
    iterations : int
    tolerance : float, nats

    Returns
    -------
    Place
    """
    best = Place(start.amplitude.clone(), start.parameters.clone(), start.height.clone())
    damping = torch.full_like(best.height, 1e-2)
    moving = torch.arange(len(values))
    for _ in range(iterations):
        x, e, here = values[moving], exposure[moving], best.rows(moving)
        there = _step(mixture, x, e, here, damping[moving])
        gain = there.height - here.height
        up = gain >= 0
        rows = moving[up]
        best.amplitude[rows], best.parameters[rows] = there.amplitude[up], there.parameters[up]
        best.height[rows] = there.height[up]
        damping[moving] *= torch.where(up, EASIER, HARDER)
        moving = moving[torch.where(up, gain > tolerance, damping[moving] < STUCK)]
        if not len(moving):
            break
    return best


def _step(mixture: Mixture, values: Tensor, exposure: Tensor, here: Place, damping: Tensor) -> Place:
    count = len(mixture.names)
    expected, jacobian = mixture.expected_with_jacobian(here.amplitude, here.parameters)
    scale, lower, upper = _bounds(mixture, values, exposure)
    expected = expected.clamp_min(LEAST)
    jacobian = jacobian * scale.unsqueeze(-1)
    slope = (jacobian @ (values / expected - exposure).unsqueeze(-1)).squeeze(-1)
    information = (jacobian * (exposure / expected).unsqueeze(-2)) @ jacobian.mT
    place = torch.cat([here.amplitude, here.parameters], -1)
    held = ((place <= lower) & (slope < 0)) | ((place >= upper) & (slope > 0))
    move = scale * _solved(information, slope, held, damping)
    place = torch.minimum(torch.maximum(place + move, lower), upper)
    return Place.at(mixture, values, exposure, place[:, :count], place[:, count:])


def _solved(information: Tensor, slope: Tensor, held: Tensor, damping: Tensor) -> Tensor:
    """Damped step, zero where held."""
    free = ~held
    information = information * (free.unsqueeze(-1) & free.unsqueeze(-2))
    diagonal = information.diagonal(dim1=-2, dim2=-1)
    added = torch.where(free, damping.unsqueeze(-1) * diagonal + FLOOR, 1.0)
    return torch.linalg.solve(information + torch.diag_embed(added), slope * free)


def _bounds(mixture: Mixture, values: Tensor, exposure: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Natural scale, lowest and highest value, (row, component + parameter)."""
    seen = exposure.expand_as(values).mean(-1, keepdim=True).clamp_min(LEAST)
    total = ((values.sum(-1, keepdim=True) + 1) / seen).expand(-1, len(mixture.names))
    rows = (len(values), -1)
    lower = torch.cat([torch.zeros_like(total), mixture.lower.to(values).expand(*rows)], -1)
    upper = torch.cat([torch.full_like(total, torch.inf), mixture.upper.to(values).expand(*rows)], -1)
    scale = torch.cat([total, (mixture.upper - mixture.lower).to(values).expand(*rows)], -1)
    return scale, lower, upper
