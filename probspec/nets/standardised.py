"""Networks that read spectra whose channels are standardised over their set, one set for each instrument."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from probspec.nets.layers import mlp

LEAST = 1e-4  # width, so that it never vanishes
SAME = 1e-7  # of the largest spread, below which a channel is taken to be the same in every spectrum


class Standardising(nn.Module):
    """Centre each channel and divide it by its own spread; a channel that is the same everywhere is only centred."""

    centre: Tensor
    spread: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))

    def set(self, mean: NDArray[np.float64], spread: NDArray[np.float64]) -> None:
        """Take means and spreads : (channel,) of a set."""
        safe = np.where(spread > SAME * (np.abs(mean) + spread.max()), spread, 1.0)
        self.centre, self.spread = torch.from_numpy(mean).to(self.centre), torch.from_numpy(safe).to(self.spread)

    def forward(self, x: Tensor) -> Tensor:
        """To units of each channel's spread."""
        return (x - self.centre) / self.spread

    def inverse(self, x: Tensor) -> Tensor:
        """Back to the unit of the spectra."""
        return x * self.spread + self.centre


class SpectrumEncoder(nn.Module):
    """Mean and width of a latent given spectra, in unconstrained coordinates; leaky ReLU between the layers.

    Parameters
    ----------
    channels : int
    layers : sequence of int
        Hidden layers.
    size : int
        Of the latent.
    """

    def __init__(self, channels: int, layers: Sequence[int], size: int):
        super().__init__()
        self.scaling = Standardising(channels)
        self.net = mlp([channels, *layers, 2 * size], nn.LeakyReLU)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From spectra : (..., channel) to (..., latent) each."""
        mean, width = self.net(self.scaling(x)).chunk(2, -1)
        return mean, LEAST + nn.functional.softplus(width)
