"""Which components are present: the evidence of each set of them at each node, by normal laws cut at zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from probspec.unmixing.amplitudes import Conditional


@dataclass(frozen=True)
class Alternatives:
    """Normal laws of the amplitudes, cut at zero, of each node and set of present components.

    Parameters
    ----------
    log_evidence : (node, set) Tensor, nats
    mean : (node, set, component) Tensor, counts
    covariance : (node, set, component, component) Tensor, counts^2
        Of the components that are present; one on the diagonal for the others.
    """

    log_evidence: Tensor
    mean: Tensor
    covariance: Tensor


def possible_sets(probability: Tensor) -> tuple[Tensor, Tensor]:
    """List the sets of components that may be present, and their log probabilities.

    Parameters
    ----------
    probability : (component,) Tensor
        That a component is present, independent of the others; of probability 1 it always is.

    Returns
    -------
    sets : (set, component) Tensor
        1 = present.
    log_probability : (set,) Tensor

    Examples
    --------
    >>> possible_sets(torch.tensor([0.5, 1.0]))[0]
    tensor([[0., 1.],
            [1., 1.]])
    """
    choices = [[p for p, chance in ((0.0, 1 - q), (1.0, q)) if chance > 0] for q in probability.tolist()]
    sets = torch.tensor(list(product(*choices)), dtype=probability.dtype)
    chance = torch.where(sets > 0, probability, 1 - probability)
    return sets, chance.log().sum(-1)


def alternatives(found: Conditional, sets: Tensor, log_probability: Tensor, rate: Tensor, held: Tensor) -> Alternatives:
    """Weigh the sets, amplitudes integrated out under exponential laws.

    Parameters
    ----------
    found : Conditional
    sets : (set, component) Tensor
    log_probability : (set,) Tensor
        With the log of what the laws of the amplitudes are times ``exp(-rate @ amplitude)``.
    rate : (component,) Tensor, 1/counts
    held : (direction, component) Tensor, 1/counts
        Sets of several components are held by minus half the square of these times the amplitudes.
    """
    # Where no counts bend it, the posterior falls off exponentially: a cut normal of hardly any curvature does, too.
    least = 1e-6 * (found.slope - rate).square() + 1e-12
    curvature = (found.curvature + torch.diag_embed(least)).unsqueeze(1)
    several = (sets.sum(-1) > 1).to(rate)[:, None]
    pull = -(found.mode @ held.mT) @ held  # slope of what holds the amplitudes
    curvature = curvature + several[..., None] * (held.mT @ held)
    gone = (sets - 1) * found.mode.unsqueeze(1)  # the absent leave the mode for zero
    slope = (
        (found.slope - rate).unsqueeze(1) + several * pull.unsqueeze(1) - (curvature @ gone.unsqueeze(-1)).squeeze(-1)
    )
    among = curvature * sets.unsqueeze(-1) * sets.unsqueeze(-2) + torch.diag_embed(1 - sets)
    factor = _factor(among)
    step = torch.cholesky_solve((slope * sets).unsqueeze(-1), factor).squeeze(-1) * sets + gone
    mean, covariance = found.mode.unsqueeze(1) + step, torch.cholesky_inverse(factor)
    bend = (step.unsqueeze(-2) @ curvature @ step.unsqueeze(-1))[..., 0, 0]
    away = (found.mode @ held.mT).square().sum(-1)[:, None] / 2
    rise = ((found.slope.unsqueeze(1) + several * pull.unsqueeze(1)) * step).sum(-1)
    height = found.log_likelihood[:, None] - several[:, 0] * away + rise - bend / 2
    law = -(sets * rate * mean).sum(-1)
    volume = (sets * math.log(2 * math.pi) / 2 - factor.diagonal(dim1=-2, dim2=-1).log()).sum(-1)
    kept = (sets * torch.special.log_ndtr(mean / covariance.diagonal(dim1=-2, dim2=-1).sqrt())).sum(-1)
    return Alternatives(height + law + volume + kept + log_probability, mean, covariance)


def _factor(matrix: Tensor) -> Tensor:
    """Cholesky factor; components that look alike leave a matrix singular without a little on its diagonal."""
    little = 1e-10 * matrix.diagonal(dim1=-2, dim2=-1).amax(-1)
    return torch.linalg.cholesky(matrix + little[..., None, None] * torch.eye(matrix.shape[-1], dtype=matrix.dtype))
