"""A linear law of spectra given a latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probspec.nets.left_out_ridge import left_out_ridge


class LinearLaw(nn.Module):
    """Spectra as ``level + z @ loading``, with independent noise; what instruments without a decoder are simulated by.

    Parameters
    ----------
    latents, channels : int
    """

    level: Tensor
    loading: Tensor
    noise: Tensor

    def __init__(self, latents: int, channels: int):
        super().__init__()
        self.register_buffer("level", torch.zeros(channels))
        self.register_buffer("loading", torch.zeros(latents, channels))
        self.register_buffer("noise", torch.ones(channels))

    def fit(self, z: Tensor, x: Tensor) -> None:
        """Take level, loading and noise from latents `z` : (sample, latent) and spectra `x` : (sample, channel).

        The noise is that of rows left out.
        """
        mean, level = z.double().mean(0), x.double().mean(0)
        root = torch.full((len(z), 1), len(z) ** -0.5, dtype=torch.float64)
        found = left_out_ridge(x.double() - level, z.double() - mean, root)
        self.level, self.loading = (level - mean @ found.weights).to(self.level), found.weights.to(self.level)
        self.noise = found.left_out.square().mean(0).sqrt().clamp_min(1e-12).to(self.noise)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean : (..., channel) and standard deviation : (channel,)."""
        return self.level + z @ self.loading, self.noise

    def sample(self, z: Tensor) -> Tensor:
        """Spectra with noise : (..., channel)."""
        mean, noise = self(z)
        return mean + noise * torch.randn_like(mean)
