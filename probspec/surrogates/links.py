"""Scales on which spectra are taken apart, and the way back to spectra that are positive and sum to one.

The way back is smooth everywhere, so that no gradient is lost where a spectrum nearly vanishes. Each channel has a
floor, far below the least value taught there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

FLOOR = 0.01
"""The floor of a channel, beside the least positive value taught there."""

DEEPEST = 1e-12
"""The least floor, beside the largest value of all: its square is still a number in single precision."""


def floors(spectra: Tensor) -> Tensor:
    """Floor of each channel, (channel,), of taught spectra (row, channel)."""
    least = torch.where(spectra > 0, spectra, torch.inf).amin(0)
    least = torch.where(least.isfinite(), least, least.min())  # a channel that is zero in every row
    return (FLOOR * least).clamp_min(DEEPEST * spectra.max())


class Link(ABC):
    """A scale: from a spectrum to it, and back with the slope."""

    @abstractmethod
    def scale(self, spectra: Tensor, floor: Tensor) -> Tensor:
        """Take spectra to the scale."""

    @abstractmethod
    def positive(self, scaled: Tensor, floor: Tensor) -> Tensor:
        """Take values on the scale to positive ones."""

    @abstractmethod
    def slope(self, scaled: Tensor, positive: Tensor, floor: Tensor) -> Tensor:
        """Derivative of `positive` by `scaled`."""

    def spectrum(self, scaled: Tensor, floor: Tensor) -> Tensor:
        """Spectrum of unit sum, (..., channel)."""
        made = self.positive(scaled, floor)
        return made / made.sum(-1, keepdim=True)

    def push(self, scaled: Tensor, change: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
        """Spectrum, and its change with changes (..., direction, channel) of the scaled values."""
        made = self.positive(scaled, floor)
        total = made.sum(-1, keepdim=True)
        spectrum = made / total
        change = change * (self.slope(scaled, made, floor) / total).unsqueeze(-2)
        return spectrum, change - spectrum.unsqueeze(-2) * change.sum(-1, keepdim=True)


class Linear(Link):
    """The spectrum itself, and a hyperbola that levels out at half the floor."""

    def scale(self, spectra: Tensor, floor: Tensor) -> Tensor:
        """Leave them as they are."""
        return spectra

    def positive(self, scaled: Tensor, floor: Tensor) -> Tensor:
        """(x + sqrt(x^2 + floor^2)) / 2, written without loss of digits on either side."""
        root = (scaled.square() + floor.square()).sqrt()
        return torch.where(scaled > 0, (scaled + root) / 2, floor.square() / (2 * (root + scaled.abs())))

    def slope(self, scaled: Tensor, positive: Tensor, floor: Tensor) -> Tensor:
        """Derivative of the hyperbola."""
        return positive / (scaled.square() + floor.square()).sqrt()


class Root(Link):
    """Square roots, whose counting noise is the same in every channel (Bartlett 1936)."""

    def scale(self, spectra: Tensor, floor: Tensor) -> Tensor:
        """Take the root."""
        return spectra.sqrt()

    def positive(self, scaled: Tensor, floor: Tensor) -> Tensor:
        """x^2 and the floor's hundredth."""
        return scaled.square() + FLOOR * floor

    def slope(self, scaled: Tensor, positive: Tensor, floor: Tensor) -> Tensor:
        """2 x."""
        return 2 * scaled


class Log(Link):
    """Logarithms, for spectra whose channels differ by decades."""

    def scale(self, spectra: Tensor, floor: Tensor) -> Tensor:
        """Take the logarithm, of the floor where nothing was taught."""
        return torch.maximum(spectra, floor).log()

    def positive(self, scaled: Tensor, floor: Tensor) -> Tensor:
        """exp(x), the largest being one, and so little more that single precision does not lose it."""
        return (scaled - scaled.detach().amax(-1, keepdim=True)).exp() + DEEPEST

    def slope(self, scaled: Tensor, positive: Tensor, floor: Tensor) -> Tensor:
        """exp(x)."""
        return positive - DEEPEST


LINKS: dict[str, Link] = {"linear": Linear(), "root": Root(), "log": Log()}
