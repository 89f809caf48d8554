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

COARSE, FINE, ZOOMS, ENOUGH = 9, 48, 4, 10  # nodes of a grid, the most refinements, nodes that must matter
LOST = 12.0  # nats below the best node, where a grid is cut
ROUNDS, DRAWN = 5, 96  # of adaptive sampling


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


def drawn_nodes(lower: Tensor, upper: Tensor, evidence: Evidence, generator: torch.Generator) -> Nodes:
    """Draw nodes where they matter, in coordinates of the normal law that fills the range.

    Parameters
    ----------
    lower, upper : (parameter,) Tensor
    evidence : Evidence
    generator : torch.Generator
    """
    dims = len(lower)

    def values(u: Tensor) -> Tensor:
        return lower + (upper - lower) * torch.special.ndtr(u)

    u = torch.randn(4 * DRAWN, dims, generator=generator, dtype=torch.float64)
    centres, scale = torch.zeros(1, dims, dtype=torch.float64), torch.eye(dims, dtype=torch.float64)
    log_drawn, height = [_density(u, centres, scale)], [evidence(values(u))]
    points = [u]
    for _ in range(ROUNDS):
        every, drawn, found = torch.cat(points), torch.cat(log_drawn), torch.cat(height)
        weight = (found + _inside(every, lower, upper) - drawn).softmax(0)
        centres = every[torch.multinomial(weight, DRAWN, replacement=True, generator=generator)]
        middle = weight @ every
        spread = (every - middle).mT @ ((every - middle) * weight[:, None])
        bandwidth = 0.6 * spread + 1e-4 * torch.eye(dims, dtype=torch.float64)
        scale = torch.linalg.cholesky(bandwidth)
        u = centres + torch.randn(DRAWN, dims, generator=generator, dtype=torch.float64) @ scale.mT
        points.append(u)
        log_drawn.append(_density(u, centres, scale))
        height.append(evidence(values(u)))
    every, drawn = torch.cat(points), torch.cat(log_drawn)
    return Nodes(values(every), _inside(every, lower, upper) - drawn, torch.zeros(dims, dtype=torch.float64))


def _density(u: Tensor, centres: Tensor, scale: Tensor) -> Tensor:
    """Log density of an even mixture of normals about the centres."""
    apart = torch.linalg.solve_triangular(scale, (u[:, None] - centres).flatten(0, 1).mT, upper=False)
    square = apart.square().sum(0).view(len(u), len(centres))
    volume = scale.diagonal().log().sum() + u.shape[1] * math.log(2 * math.pi) / 2
    return (-square / 2).logsumexp(1) - math.log(len(centres)) - volume


def _inside(u: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Log of what a unit of u is in the parameters."""
    return (-u.square() / 2 - math.log(2 * math.pi) / 2 + (upper - lower).log()).sum(-1)
