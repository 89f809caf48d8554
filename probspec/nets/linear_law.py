"""A linear law of spectra given a latent, by least squares."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
        """Take level, loading and noise from latents `z` : (sample, latent) and spectra `x` : (sample, channel)."""
        mean = z.double().mean(0)
        level = x.double().mean(0)
        centred = z.double() - mean
        gram = centred.T @ centred
        ridge = 1e-9 * gram.diagonal().mean().clamp_min(1e-300) * torch.eye(len(gram), dtype=gram.dtype)
        loading = torch.linalg.solve(gram + ridge, centred.T @ (x.double() - level))
        left = x.double() - level - centred @ loading
        self.level, self.loading = (level - mean @ loading).to(self.level), loading.to(self.level)
        self.noise = left.std(0, correction=0).clamp_min(1e-12).to(self.noise)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean : (..., channel) and standard deviation : (channel,)."""
        return self.level + z @ self.loading, self.noise

    def sample(self, z: Tensor) -> Tensor:
        """Spectra with noise : (..., channel)."""
        mean, noise = self(z)
        return mean + noise * torch.randn_like(mean)
