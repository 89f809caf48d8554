"""Decoders: the spectrum that a composition and a nuisance are expected to give, and how far it may differ.

Both kinds work in scaled units (`Scaling`) and return mean and standard deviation by channel. `MixingDecoder` starts
from the linear mixing story and is set in closed form, which 50 spectra suffice for; `NetworkDecoder` is the published
network and needs hundreds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from pyro.distributions import Independent, Normal
from torch import Tensor, nn

from probspec.nets.layers import Scaling, mlp


class Decoder(nn.Module, ABC):
    """From composition y : (..., sample, component) and nuisance z : (..., sample, direction) to one modality."""

    def __init__(self, channels: int):
        super().__init__()
        self.scaling = Scaling(channels)

    @abstractmethod
    def fit(self, x: Tensor, y: Tensor, groups: Tensor) -> None:
        """Take what can be taken at once from spectra `x` : (sample, channel) and their compositions."""

    @abstractmethod
    def forward(self, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, (..., sample, channel), in scaled units."""

    def law(self, y: Tensor, z: Tensor) -> Independent:
        """p(x | y, z) in scaled units."""
        return Normal(*self(y, z)).to_event(1)

    def misfit(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Mean square, over channels, of spectra `x` against the decoder in its standard deviations, (..., sample)."""
        mean, noise = self(y, z)
        return ((self.scaling(x) - mean) / noise).square().mean(-1)


class MixingDecoder(Decoder):
    """End-members mixed linearly, and nuisance directions, all in closed form.

    x = y E + z W + noise; E by ridge regression, W the leading principal components of what E leaves, the noise by
    channel from held-out compositions. Gradient steps are not taken: on 50 spectra they fit the noise, after which
    every new spectrum looks strange.

    Parameters
    ----------
    channels, components, directions : int
    own : slice
        Directions of z that belong to this modality; principal components of two modalities have no common scores.
    """

    def __init__(self, channels: int, components: int, directions: int, own: slice = slice(None)):
        super().__init__(channels)
        self.own = own
        self.register_buffer("endmembers", torch.zeros(components, channels))
        self.register_buffer("directions", torch.zeros(directions, channels))
        self.register_buffer("noise", torch.ones(channels))
        self.register_buffer("mean", torch.full((components,), 1 / components))

    def fit(self, x: Tensor, y: Tensor, groups: Tensor) -> None:
        """Set end-members, directions and noise in closed form."""
        self.scaling.fit(x)
        self.mean = y.mean(0).to(self.mean)
        scaled, centred = self.scaling(x).double(), y.double() - self.mean
        left_out = torch.cat([self._left_out(scaled, centred, fold) for fold in _folds(groups)])
        endmembers, directions = _factors(scaled, centred, len(self.directions[self.own]))
        floor = max(1e-3 * left_out.square().mean().item(), 1e-6)  # directions may explain all of a few channels
        self.endmembers, self.directions = endmembers.to(self.noise), torch.zeros_like(self.directions)
        self.directions[self.own] = directions.to(self.noise)
        self.noise = (left_out.square().mean(0) + floor).sqrt().to(self.noise)

    def _left_out(self, x: Tensor, y: Tensor, test: Tensor) -> Tensor:
        """What end-members and directions of the other rows leave of the rows in `test`."""
        endmembers, directions = _factors(x[~test], y[~test], len(self.directions[self.own]))
        rest = x[test] - y[test] @ endmembers
        basis = torch.linalg.qr(directions.T + 1e-12).Q
        return rest - rest @ basis @ basis.T

    def forward(self, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and noise."""
        return (y - self.mean) @ self.endmembers + z @ self.directions, self.noise

    def nuisance(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """What a spectrum, in scaled units, says of z beside its prior: a Gaussian likelihood.

        Returns
        -------
        precision : (direction, direction) Tensor
        shift : (..., sample, direction) Tensor
            Precision times mean.
        """
        weighted = self.directions / self.noise.square()
        return weighted @ self.directions.T, (x - (y - self.mean) @ self.endmembers) @ weighted.T


class NetworkDecoder(Decoder):
    """The published p(x | y, z): mean and variance by networks (Parente & Gemp)."""

    def __init__(self, channels: int, components: int, directions: int, hidden: int = 256):
        super().__init__(channels)
        self.net = mlp([components + directions, hidden, hidden, 2 * channels], nn.ReLU)

    def fit(self, x: Tensor, y: Tensor, groups: Tensor) -> None:
        """Set the scaling; the networks are trained."""
        self.scaling.fit(x)

    def forward(self, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, the latter kept from collapsing."""
        mean, width = self.net(torch.cat([y, z], -1)).chunk(2, -1)
        return mean, 0.01 + nn.functional.softplus(width)


def _factors(x: Tensor, y: Tensor, directions: int) -> tuple[Tensor, Tensor]:
    """End-members by ridge regression of x on y, and scaled principal directions of what they leave."""
    gram = y.T @ y
    ridge = 1e-4 * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(len(gram), dtype=y.dtype)
    endmembers = torch.linalg.solve(gram + ridge, y.T @ x)
    _, singular, basis = torch.linalg.svd(x - y @ endmembers, full_matrices=False)
    kept = min(directions, len(singular))
    scaled = x.new_zeros(directions, x.shape[1])
    scaled[:kept] = singular[:kept, None] / len(x) ** 0.5 * basis[:kept]
    return endmembers, scaled


def _folds(groups: Tensor, folds: int = 5) -> list[Tensor]:
    """Row masks of folds that keep groups together; rows by themselves where there are fewer than two groups."""
    codes = groups.unique(return_inverse=True)[1]
    if codes.max() == 0:
        codes = torch.arange(len(groups))
    folds = min(folds, int(codes.max()) + 1)
    return [codes % folds == k for k in range(folds)]
