"""An autoencoder of spectra with a latent law and a learnt noise for each channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from probspec.nets.layers import mlp
from probspec.nets.standardised import SpectrumEncoder

HASTE = 30.0  # Adam moves every parameter alike; a noise may have to fall by a factor of ten, weights by hundredths


class Autoencoder(nn.Module):
    """Encoder, and decoder with the layers in reverse, in spreads of the channels; leaky ReLU between the layers.

    Parameters
    ----------
    channels : int
    layers : sequence of int
        Hidden layers of the encoder.
    size, values : int
        Of the latent, in unconstrained coordinates and as the decoder takes it.
    """

    def __init__(self, channels: int, layers: Sequence[int], size: int, values: int):
        super().__init__()
        self.encoder = SpectrumEncoder(channels, layers, size)
        self.decoder = mlp([values, *reversed(layers), channels], nn.LeakyReLU)
        self.slow_log_noise = nn.Parameter(torch.zeros(channels))

    @property
    def is_learnt(self) -> bool:
        """Whether it is trained and stays as it is."""
        return not self.slow_log_noise.requires_grad

    def noise(self) -> Tensor:
        """Standard deviation of each channel, (channel,)."""
        return (HASTE * self.slow_log_noise).exp()

    def spectra(self, z: Tensor) -> Tensor:
        """Expected spectra, in their unit, given latents : (..., value)."""
        return self.encoder.scaling.inverse(self.decoder(z))

    def sample(self, z: Tensor) -> Tensor:
        """Spectra with noise, in their unit, given latents : (..., value)."""
        mean = self.decoder(z)
        return self.encoder.scaling.inverse(mean + self.noise() * torch.randn_like(mean))

    def settle(self, x: Tensor, z: Tensor) -> None:
        """Set the noise that maximises the bound given the networks, and freeze all.

        Parameters
        ----------
        x : (sample, channel) Tensor, spreads of the channels
        z : (sample, value) Tensor
            Draws of the latent given these spectra.
        """
        with torch.no_grad():
            left = torch.zeros_like(self.slow_log_noise)
            for spectra, latents in zip(x.split(256), z.split(256), strict=True):
                left += (spectra - self.decoder(latents)).square().sum(0)
            self.slow_log_noise.copy_((left / len(x)).clamp_min(1e-12).log() / (2 * HASTE))
        self.requires_grad_(False)
