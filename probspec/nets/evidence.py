"""Evidence: what frozen encoders say of a composition, as one Gaussian likelihood over all modalities.

Each modality's summary is the composition plus an error. The errors' widths come from the encoders, their correlations
from out-of-fold residuals, so that two modalities that err together do not count twice and one that was not measured
does not count at all. Seen through the local coordinates of a support, the same Gaussian gives the guide its start.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pyro.distributions import MultivariateNormal
from torch import Tensor, nn
from torch.distributions import IndependentTransform, constraints
from torch.distributions.constraints import Constraint

from probspec.supports import bijection, describe
from probspec.transforms import SmoothedSimplex

BOUNDS = {"lower": -torch.inf, "upper": torch.inf}
FARTHEST = 1000.0  # widths of the summaries, which is as good as nothing known
NORMAL_90 = 1.645  # standard deviations within which 90 % of normal errors lie
DOUBT = 4.0  # independent compositions per summary that outweigh the guess that errors do not go together
FEWEST_TOGETHER = 5  # rows of several modalities, below which nothing is learnt of their combination


@dataclass(frozen=True)
class Start:
    """Gaussian in unconstrained coordinates from which a guide's flow sets out.

    Parameters
    ----------
    location : (..., sample, coordinate) Tensor
    scale_tril : (..., sample, coordinate, coordinate) Tensor
    context : (..., sample, 2 * component) Tensor
        What bends the posterior away from that Gaussian: how many standard deviations each component lies from zero,
        and how wide it is; both on logarithmic scales of order one.
    """

    location: Tensor
    scale_tril: Tensor
    context: Tensor


class Evidence(nn.Module):
    """Joint Gaussian error of the summaries of several modalities.

    Parameters
    ----------
    modalities, components : int

    Notes
    -----
    Summaries and their standard deviations are laid side by side, (..., sample, modality * component); `present` says
    for each of them whether it was measured. The entries of a missing modality are decoupled and carry no weight.
    """

    def __init__(self, modalities: int, components: int):
        super().__init__()
        self.modalities, self.components = modalities, components
        self.register_buffer("width", torch.ones(components))
        self.register_buffer("correlation", torch.eye(modalities * components))
        self.register_buffer("alone", torch.ones(modalities))
        self.register_buffer("together", torch.ones(()))

    def fit(
        self, summary: Tensor, deviation: Tensor, present: Tensor, y: Tensor, groups: Tensor, support: Constraint
    ) -> None:
        """Learn how errors go together, then how wide they are, from summaries of held-out rows.

        Parameters
        ----------
        summary, deviation : (sample, modality * component) Tensor
            Of rows that the encoders have not seen.
        present : (sample, modality * component) bool Tensor
        y : (sample, component) Tensor
            The truth.
        groups : (sample,) int Tensor
            Rows of one group are not independent; fewer groups let correlations be shrunk further.
        support : Constraint
            Of the composition.
        """
        typical = torch.where(present, deviation, torch.nan).nanmedian(0).values.reshape(self.modalities, -1)
        self.width = typical.amin(0).to(self.width)
        errors = torch.where(present, (summary - y.tile(self.modalities)) / deviation, 0.0).double()
        second = errors.T @ errors / (present.double().T @ present.double()).clamp_min(1)
        scale = second.diagonal().sqrt()
        doubt = DOUBT * len(scale)
        weight = doubt / (doubt + len(groups.unique()))
        self.correlation = _shrink(second / (scale[:, None] * scale).clamp_min(1e-12), weight).to(self.correlation)
        self.alone, self.together = torch.ones_like(self.alone), torch.ones_like(self.together)
        owner = torch.arange(self.modalities, device=y.device).repeat_interleave(self.components)
        for position in range(self.modalities):
            self.alone[position] = self._excess(summary, deviation, present & (owner == position), y, support)
        self.width = (self.alone[:, None] * typical).amin(0).to(self.width)
        several = self._several(present)
        if several.sum() >= FEWEST_TOGETHER:
            self.together = self._excess(summary, deviation, present & several, y, support).clamp_min(1)

    def _several(self, present: Tensor) -> Tensor:
        """Whether more than one modality was measured, (..., sample, 1)."""
        return present.unflatten(-1, (self.modalities, self.components)).any(-1).sum(-1, keepdim=True) > 1

    def _excess(self, summary: Tensor, deviation: Tensor, present: Tensor, y: Tensor, support: Constraint) -> Tensor:
        """How many times wider 90 % of the standardised errors of combined summaries spread than normal ones."""
        rows = present.any(-1)
        summary, deviation, present = summary[rows], deviation[rows], present[rows]
        start = self.start(summary, deviation, present, support)
        factor = self.errors(deviation, present)
        origin, value, slope = linearise(support, *self._pool(summary * present, factor, self._design(present)))
        mean = value + (slope @ (start.location - origin)[..., None])[..., 0]
        spread = (slope @ start.scale_tril).square().sum(-1).sqrt()
        errors = (mean - y[rows]) / spread
        return (errors.abs().quantile(0.9) / NORMAL_90).clamp_min(1e-3)

    def errors(self, deviation: Tensor, present: Tensor) -> Tensor:
        """Cholesky factor of the errors' covariance, (..., sample, m * k, m * k); unit where nothing was measured."""
        widened = deviation * self.alone.repeat_interleave(self.components)
        widened = torch.where(self._several(present), self.together * widened, widened)
        scale = torch.where(present, widened, torch.ones_like(deviation))
        both = present[..., :, None] & present[..., None, :]
        identity = torch.eye(deviation.shape[-1], dtype=deviation.dtype, device=deviation.device)
        return scale[..., None] * torch.linalg.cholesky(torch.where(both, self.correlation, identity))

    def law(self, y: Tensor, deviation: Tensor, present: Tensor) -> MultivariateNormal:
        """Law of the summaries given the composition `y` : (..., sample, component); zero-mean where missing."""
        mean = y.tile(self.modalities) * present
        return MultivariateNormal(mean, scale_tril=self.errors(deviation, present))

    def start(self, summary: Tensor, deviation: Tensor, present: Tensor, support: Constraint) -> Start:
        """Combine the summaries by generalised least squares in the coordinates of `support`, under a vague prior."""
        factor = self.errors(deviation, present)
        design = self._design(present).to(summary.dtype)
        mean, width = self._pool(summary * present, factor, design)
        origin, value, slope = linearise(support, mean, width)
        white = torch.linalg.solve_triangular(factor, design @ slope, upper=False)
        rest = summary * present - (design @ value[..., None])[..., 0]
        precision = white.mT @ white + torch.diag_embed(_vague(support, self.width).expand_as(origin))
        step = white.mT @ torch.linalg.solve_triangular(factor, rest[..., None], upper=False)
        scale = torch.linalg.cholesky(torch.linalg.inv(precision))
        context = torch.cat([0.5 * torch.asinh(mean / width), 0.5 * (width / self.width).log()], -1)
        return Start(origin + _within_reach(support, (scale @ (scale.mT @ step))[..., 0]), scale, context)

    def _design(self, present: Tensor) -> Tensor:
        """Each summary is that of one component, (..., sample, modality * component, component)."""
        identity = torch.eye(self.components, device=present.device).tile(self.modalities, 1)
        return present[..., None] * identity

    def _pool(self, summary: Tensor, factor: Tensor, design: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each component, all modalities together."""
        white = torch.linalg.solve_triangular(factor, design, upper=False)
        precision = white.mT @ white + (FARTHEST * self.width).to(summary).square().reciprocal().diag()
        covariance = torch.linalg.inv(precision)
        white_summary = torch.linalg.solve_triangular(factor, summary[..., None], upper=False)
        return (covariance @ white.mT @ white_summary)[..., 0], covariance.diagonal(dim1=-2, dim2=-1).sqrt()


def _vague(support: Constraint, width: Tensor) -> Tensor:
    """Precision of a start that knows nothing; only coordinates of the reals have a unit."""
    return (FARTHEST * width).square().reciprocal() if describe(support) == "real" else torch.ones_like(width[:1])


def _within_reach(support: Constraint, step: Tensor) -> Tensor:
    """Logarithms and logits are not followed to where the value would round to a bound."""
    return step if describe(support) in ("real", "simplex") else step.clamp(-8.0, 8.0)


def _shrink(correlation: Tensor, weight: float) -> Tensor:
    """Shrink towards independence, after negative eigenvalues (from missing pairs) are set to zero."""
    values, vectors = torch.linalg.eigh(correlation)
    proper = vectors @ (values.clamp_min(0)[:, None] * vectors.T)
    proper = proper / (proper.diagonal()[:, None] * proper.diagonal()).sqrt().clamp_min(1e-12)
    return (1 - weight) * proper + weight * torch.eye(len(proper), dtype=proper.dtype)


def linearise(support: Constraint, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tangent of a support's coordinates: value(u) = value + slope (u - origin).

    On the simplex this is its plane, whose faces the coordinates round off by themselves; elsewhere the tangent is
    taken at the mean, moved inside the support by half a standard deviation.

    Parameters
    ----------
    support : Constraint
    mean, deviation : (..., component) Tensor

    Returns
    -------
    origin : (..., coordinate) Tensor
    value : (..., component) Tensor
    slope : (..., component, coordinate) Tensor
    """
    transform = bijection(support)
    if isinstance(transform, SmoothedSimplex):
        return transform.plane(mean)
    base = transform.base_transform if isinstance(transform, IndependentTransform) else transform
    value = inside(support, mean, 0.5 * deviation)
    origin = base.inv(value)
    return origin, value, torch.diag_embed(base.log_abs_det_jacobian(origin, value).exp())


def nearest(support: Constraint, value: Tensor) -> Tensor:
    """Give the nearest value that a support allows; on the simplex with the rounded faces of its coordinates."""
    transform = bijection(support)
    if isinstance(transform, SmoothedSimplex):
        return transform(transform.plane(value)[0])
    return inside(support, value, torch.zeros_like(value))


def inside(support: Constraint, value: Tensor, margin: Tensor) -> Tensor:
    """Move a value at least `margin` inside the bounds of its support, at most to the middle of an interval."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    lower, upper = (torch.as_tensor(getattr(support, f"{side}_bound", end)) for side, end in BOUNDS.items())
    margin = torch.minimum(margin, 0.499 * (upper - lower))
    return torch.minimum(torch.maximum(value, lower + margin), upper - margin)
