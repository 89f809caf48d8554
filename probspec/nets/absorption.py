"""Decoders of absorption spectra, from concentrations c and a nuisance z.

`MixingDecoder` (in `nets.mixing`) starts from the Beer-Lambert law and learns what departs from it; twenty spectra
suffice. The published decoders, of the VAE and of the conditional VAE, are plain networks (`NetworkDecoder`) and need
hundreds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from pyro.distributions import Independent, Normal
from torch import Tensor, nn

from probspec.nets.beer_lambert import Regression, regress
from probspec.nets.layers import mlp
from probspec.nets.least_squares import left_out_errors, reading

CHANNELS, HIDDEN, LATENT = 911, 256, 91
"""Published sizes (Mushchina et al. 2024): channels, hidden layer, latent directions."""

FLOOR = 1e-3
"""Least noise of a channel, as a share of how much the spectra vary."""


class AbsorptionDecoder(nn.Module, ABC):
    """From concentrations c : (..., sample, component) and nuisance z : (..., sample, direction) to spectra.

    Parameters
    ----------
    channels, components, directions : int
    """

    def __init__(self, channels: int, components: int, directions: int):
        super().__init__()
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("largest", torch.ones(components))
        self.register_buffer("mean", torch.zeros(components))
        self.log_noise = nn.Parameter(torch.zeros(channels))
        self.register_buffer("first_log_noise", torch.zeros(channels))
        self.register_buffer("reader", torch.zeros(channels, components))
        self.register_buffer("offset", torch.zeros(channels))
        self.register_buffer("doubt", torch.ones(components))
        self.register_buffer("unforeseen", torch.zeros(components, components))
        self.register_buffer("floor", torch.full((), FLOOR))

    @abstractmethod
    def forward(self, c: Tensor, z: Tensor, pure: Tensor | None) -> Tensor:
        """Mean spectra, (..., sample, channel), in scaled units."""

    @abstractmethod
    def start(self, found: Regression, x: Tensor, centred: Tensor, groups: Tensor) -> Regression:
        """Take what closed forms give, and return what became of the regression."""

    def restraint(self, c: Tensor, z: Tensor) -> Tensor:
        """How far the decoder has departed from where it started, in nats."""
        return torch.zeros((), device=c.device)

    def fit(self, x: Tensor, c: Tensor, groups: Tensor) -> Regression:
        """Set scales and closed forms.

        Parameters
        ----------
        x : (sample, channel) Tensor, their unit
        c : (sample, component) Tensor, theirs
        groups : (sample,) Tensor of int
            Numbered from zero; rows of one group say little that is new.
        """
        self.spread = x.square().mean().sqrt().clamp_min(1e-12)
        self.floor = (FLOOR * (x - x.mean(0)).square().mean().sqrt() / self.spread).clamp_min(1e-7)
        self.largest = c.abs().amax(0).clamp_min(1e-12)
        self.mean = (c / self.largest).mean(0)
        scaled, centred = x / self.spread, self.centred(c)
        found = self.start(regress(scaled, centred, self.directions), scaled, centred, groups)
        self.first_log_noise = self.log_noise.detach().clone()
        self.reader, self.offset = reading(scaled, centred)
        return found

    def left_out(self, x: Tensor, c: Tensor, groups: Tensor) -> Tensor:
        """Errors of readings of spectra left out, group by group: (sample, component), unit of c."""
        return left_out_errors(x / self.spread, self.centred(c), groups) * self.largest

    def expect(self, errors: Tensor, dreamt: Tensor) -> None:
        """Set how far readings are off, from errors of real spectra left out and of dreamt ones: (sample, component).

        What real errors vary more than dreamt ones is unforeseen, and added to dreamt readings.
        """
        real, foreseen = ((e / self.largest).T @ (e / self.largest) / len(e) for e in (errors, dreamt))
        values, basis = torch.linalg.eigh((real - foreseen).double())
        self.unforeseen = (basis * values.clamp_min(0).sqrt()).to(real)
        self.doubt = torch.maximum(real, foreseen).diagonal().sqrt()

    @property
    def directions(self) -> int:
        """Residual directions of the regression."""
        return 3

    def centred(self, c: Tensor) -> Tensor:
        """Concentrations of order one about their means."""
        return c / self.largest - self.mean

    def law(self, c: Tensor, z: Tensor, pure: Tensor | None) -> Independent:
        """p(x | c, z) in scaled units."""
        mean = self(c, z, pure)
        return Normal(mean, self.noise(mean)).to_event(1)

    def noise(self, mean: Tensor) -> Tensor:
        """Standard deviation of channels whose mean is `mean`, in scaled units."""
        return self.log_noise.exp().clamp_min(0.1 * self.floor)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Generalised least squares: concentrations (..., sample, component) in their unit, standard deviations."""
        return ((x / self.spread - self.offset) @ self.reader + self.mean) * self.largest, self.doubt * self.largest


class NetworkDecoder(AbsorptionDecoder):
    """The published decoders: one hidden layer, given z and, in the conditional VAE, c.

    Parameters
    ----------
    channels, components, directions, hidden : int
    conditional : bool
    """

    def __init__(self, channels: int, components: int, directions: int, hidden: int, conditional: bool):
        super().__init__(channels, components, directions)
        self.conditional = conditional
        self.net = mlp([directions + conditional * components, hidden, channels], nn.ReLU)

    def start(self, found: Regression, x: Tensor, centred: Tensor, groups: Tensor) -> Regression:
        """Start with noise about as wide as the spectra themselves vary."""
        self.log_noise.data = torch.full_like(self.log_noise, -0.5)
        return found

    def forward(self, c: Tensor, z: Tensor, pure: Tensor | None) -> Tensor:
        """Mean spectra."""
        return self.offset + self.net(_joined(self.centred(c), z) if self.conditional else z)


def published_size(size: int, channels: int) -> int:
    """Published size of a layer, in proportion to the channels, and no less than a twelfth.

    >>> published_size(HIDDEN, 911), published_size(HIDDEN, 60)
    (256, 21)
    """
    return max(round(size * channels / CHANNELS), size // 12)


def _joined(a: Tensor, b: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    return torch.cat([a.expand(*batch, -1), b.expand(*batch, -1)], -1)
