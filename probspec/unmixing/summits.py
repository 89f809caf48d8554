"""Where the posterior of several parameters is highest, and how wide it is there: scoring with the Fisher metric."""

from __future__ import annotations

import torch
from torch import Tensor

from probspec.mixtures import Mixture
from probspec.unmixing.amplitudes import LEAST, Counted

STEPS, HALVINGS = 25, 5
WIDEST = 1.0  # standard deviation, in coordinates of the normal law that fills a range, of what counts do not tell


def summit(
    mixture: Mixture, counted: Counted, amplitude: Tensor, parameters: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """Climb from one point, amplitudes and parameters together.

    Parameters
    ----------
    mixture : Mixture
    counted : Counted
    amplitude : (component,) Tensor, counts
    parameters : (parameter,) Tensor
    weight : float
        Of the likelihood.

    Returns
    -------
    parameters : (parameter,) Tensor
    covariance : (parameter, parameter) Tensor
        Of the coordinates of the normal law that fills each range.
    """
    lower, upper = mixture.lower, mixture.upper
    margin = 1e-4 * (upper - lower)
    height = _height(mixture, counted, amplitude, parameters)
    for _ in range(STEPS):
        slope, fisher = _scores(mixture, counted, amplitude, parameters)
        move = torch.linalg.solve(_bent(fisher), slope)
        for halving in range(HALVINGS):
            share = 0.5**halving
            there = torch.maximum(amplitude + share * move[: len(amplitude)], amplitude / 20).clamp_min(LEAST)
            where = parameters + share * move[len(amplitude) :]
            where = torch.minimum(torch.maximum(where, lower + margin), upper - margin)
            reached = _height(mixture, counted, there, where)
            if reached > height:
                break
        else:
            break
        gained, amplitude, parameters, height = reached - height, there, where, reached
        if gained < 1e-3:
            break
    _, fisher = _scores(mixture, counted, amplitude, parameters)
    return parameters, _covariance(weight * fisher, len(amplitude), parameters, lower, upper)


def _height(mixture: Mixture, counted: Counted, amplitude: Tensor, parameters: Tensor) -> Tensor:
    expected = counted.expected(mixture.expected(amplitude, parameters))
    return torch.xlogy(counted.counts, expected).sum() - expected.sum()


def _scores(mixture: Mixture, counted: Counted, amplitude: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
    expected, jacobian = mixture.expected_with_jacobian(amplitude, parameters)
    expected, jacobian = counted.expected(expected), jacobian * counted.exposure
    return jacobian @ (counted.counts / expected - 1), (jacobian / expected) @ jacobian.mT


def _bent(fisher: Tensor) -> Tensor:
    """What is not told at all still gives a finite step."""
    return fisher + torch.diag(1e-6 * fisher.diagonal() + 1e-12)


def _covariance(fisher: Tensor, amplitudes: int, parameters: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Of the parameters, amplitudes integrated out, with the normal law of each range as what is known beforehand."""
    place = torch.special.ndtri((parameters - lower) / (upper - lower))
    stretch = (upper - lower) * torch.exp(-place.square() / 2) / (2 * torch.pi) ** 0.5
    scale = torch.cat([torch.ones(amplitudes, dtype=fisher.dtype), stretch])
    metric = _bent(fisher * scale * scale[:, None])
    own, cross, rest = (
        metric[amplitudes:, amplitudes:],
        metric[amplitudes:, :amplitudes],
        metric[:amplitudes, :amplitudes],
    )
    told = own - cross @ torch.linalg.solve(rest, cross.mT)
    return torch.linalg.inv((told + told.mT) / 2 + torch.eye(len(told), dtype=told.dtype) / WIDEST**2)
