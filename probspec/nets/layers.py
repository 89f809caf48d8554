"""Small networks and the scaling of their inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.SiLU, last: float = 1.0) -> nn.Sequential:
    """Fully connected layers of the given sizes, with `activation` between them.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden layers, outputs.
    activation : type of Module
    last : float
        Factor on the last layer's first weights; 0 makes a network that starts as the zero function.

    Examples
    --------
    >>> mlp([3, 8, 2], last=0.0)(torch.ones(5, 3)).abs().max().item()
    0.0
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.Linear(inputs, outputs), activation()]
    head = nn.Linear(sizes[-2], sizes[-1])
    with torch.no_grad():
        head.weight.mul_(last)
        head.bias.mul_(last)
    return nn.Sequential(*layers, head)


class Scaling(nn.Module):
    """Centre by channel and divide by one spread for the whole block, so that strong channels stay strong."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        """Take centre and spread from `x` : (sample, channel)."""
        self.centre = x.mean(0)
        self.spread = (x - self.centre).square().mean().sqrt().clamp_min(1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """To units of the spread."""
        return (x - self.centre) / self.spread

    def inverse(self, x: Tensor) -> Tensor:
        """Back to the unit of the spectra."""
        return x * self.spread + self.centre
