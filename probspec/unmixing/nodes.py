"""Nodes in the space of the parameters: where the amplitudes are integrated out, and with what weight.

A node stands for a cell. With no parameter there is one node; with one, a grid that draws together where the posterior
is; with more, points that are drawn about the best ones so far (adaptive importance sampling: Cappe et al. 2004).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Evidence = Callable[[Tensor], Tensor]
"""From parameters (node, parameter) to log evidence plus log prior density, (node,)."""

Climb = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From parameters to those of the summit that is reached from there, and a covariance in the normal coordinates."""

COARSE, FINE, ZOOMS, ENOUGH = 9, 48, 4, 10  # nodes of a grid, the most refinements, nodes that must matter
LOST = 12.0  # nats below the best node, where a grid is cut
ROUNDS, DRAWN, SUMMITS = 6, 96, 2  # of adaptive sampling
WIDENED, NARROWED = 2.0, 0.5  # variances of what is drawn about a summit, and about the best nodes so far
MANY = 120  # nodes' effective number at which enough is known


@dataclass(frozen=True)
class Nodes:
    """Points, their log volumes, and half-widths of their cells.

    Parameters
    ----------
    parameters : (node, parameter) Tensor
    log_volume : (node,) Tensor
        Of the cell, or minus the log density with which the point was drawn.
    half_width : (parameter,) Tensor
        Draws are spread over so much about a node; 0 where nodes were drawn themselves.
    """

    parameters: Tensor
    log_volume: Tensor
    half_width: Tensor


def one_node() -> Nodes:
    """The node of a mixture without parameters."""
    empty = torch.zeros(1, 0, dtype=torch.float64)
    return Nodes(empty, torch.zeros(1, dtype=torch.float64), empty[0])


def first_grid(quantiles: Tensor) -> Tensor:
    """Nodes (node, 1) as dense as a parameter was taught, and some that are evenly spaced."""
    even = torch.linspace(float(quantiles[0]), float(quantiles[-1]), COARSE, dtype=torch.float64)
    return torch.cat([even, quantiles.double()]).unique()[:, None]


def zoomed_grid(grid: Tensor, height: Tensor, evidence: Evidence) -> Nodes:
    """Draw a grid together.

    Parameters
    ----------
    grid : (node, 1) Tensor
        From end to end of the range, in order.
    height : (node,) Tensor
        Log evidence there.
    evidence : Evidence
    """
    points, low, high = grid[:, 0], float(grid[0, 0]), float(grid[-1, 0])
    nodes = Nodes(grid, torch.zeros(len(grid)).double(), torch.zeros(1).double())
    for _ in range(ZOOMS):
        kept = torch.nonzero(height > height.max() - LOST)[:, 0]
        first, last = max(int(kept[0]) - 1, 0), min(int(kept[-1]) + 1, len(points) - 1)
        start, end = float(points[first]) if first else low, float(points[last]) if last < len(points) - 1 else high
        edges = torch.linspace(start, end, FINE + 1, dtype=torch.float64)
        points, half = (edges[1:] + edges[:-1]) / 2, (edges[1] - edges[0]) / 2
        nodes = Nodes(points[:, None], (2 * half).log().expand(FINE), half[None])
        height = evidence(nodes.parameters)
        if (height > height.max() - 4).sum() >= ENOUGH:
            break
    return nodes


def drawn_nodes(lower: Tensor, upper: Tensor, evidence: Evidence, climb: Climb, generator: torch.Generator) -> Nodes:
    """Draw nodes where they matter, in coordinates of the normal law that fills the range.

    First over the range, then about the summits that are reached from the best of these, then about the best of all.
    Each node counts by the density of all that was drawn (balance heuristic: Veach & Guibas 1995).

    Parameters
    ----------
    lower, upper : (parameter,) Tensor
    evidence : Evidence
    climb : Climb
    generator : torch.Generator
    """
    drawn = _Drawn(lower, upper, evidence, generator)
    drawn.add(torch.zeros(1, len(lower), dtype=torch.float64), torch.eye(len(lower), dtype=torch.float64))
    for start in drawn.values(drawn.points[drawn.height.topk(SUMMITS).indices]):
        top, covariance = climb(start)
        share = ((top - lower) / (upper - lower)).clamp(1e-6, 1 - 1e-6)
        drawn.add(torch.special.ndtri(share)[None], torch.linalg.cholesky(WIDENED * covariance))
    for _ in range(ROUNDS):
        weight = drawn.log_weight().softmax(0)
        if 1 / weight.square().sum() > MANY:
            break
        centres = drawn.points[torch.multinomial(weight, DRAWN, replacement=True, generator=generator)]
        apart = drawn.points - weight @ drawn.points
        spread = apart.mT @ (apart * weight[:, None]) + 1e-8 * torch.eye(len(lower), dtype=torch.float64)
        drawn.add(centres, torch.linalg.cholesky(NARROWED * spread))
    return Nodes(drawn.values(drawn.points), drawn.log_weight() - drawn.height, torch.zeros_like(lower))


class _Drawn:
    """Points so far, how high they lie, and the mixtures of normals that they were drawn from."""

    def __init__(self, lower: Tensor, upper: Tensor, evidence: Evidence, generator: torch.Generator):
        self.lower, self.upper, self.evidence, self.generator = lower, upper, evidence, generator
        self.points, self.height = torch.zeros(0, len(lower)).double(), torch.zeros(0).double()
        self.sources: list[tuple[Tensor, Tensor]] = []

    def add(self, centres: Tensor, scale: Tensor) -> None:
        around = centres[torch.randint(len(centres), (DRAWN,), generator=self.generator)]
        noise = torch.randn(DRAWN, len(scale), generator=self.generator, dtype=torch.float64)
        points = around + noise @ scale.mT
        self.points = torch.cat([self.points, points])
        self.height = torch.cat([self.height, self.evidence(self.values(points))])
        self.sources.append((centres, scale))

    def values(self, u: Tensor) -> Tensor:
        return self.lower + (self.upper - self.lower) * torch.special.ndtr(u)

    def log_weight(self) -> Tensor:
        each = torch.stack([_density(self.points, *source) for source in self.sources])
        drawn = each.logsumexp(0) - math.log(len(self.sources))
        return self.height + _inside(self.points, self.lower, self.upper) - drawn


def _density(u: Tensor, centres: Tensor, scale: Tensor) -> Tensor:
    """Log density of an even mixture of normals about the centres."""
    apart = torch.linalg.solve_triangular(scale, (u[:, None] - centres).flatten(0, 1).mT, upper=False)
    square = apart.square().sum(0).view(len(u), len(centres))
    volume = scale.diagonal().log().sum() + u.shape[1] * math.log(2 * math.pi) / 2
    return (-square / 2).logsumexp(1) - math.log(len(centres)) - volume


def _inside(u: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Log of what a unit of u is in the parameters."""
    return (-u.square() / 2 - math.log(2 * math.pi) / 2 + (upper - lower).log()).sum(-1)
