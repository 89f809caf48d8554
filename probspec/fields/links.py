r"""From maps without bounds to amplitudes and parameters, and where to start.

An amplitude is the exponential of its map. A parameter lies in its taught range by the normal distribution function,

.. math:: \theta = \theta_\mathrm{lower} + (\theta_\mathrm{upper} - \theta_\mathrm{lower})\,\Phi(s),

so that a standard normal s is a uniform parameter, and s = 0 the middle of the range.
"""

from __future__ import annotations

from math import pi, sqrt

import torch
from torch import Tensor

from probspec.mixtures import Mixture

LARGEST = 40.0
"""Largest logarithm of an amplitude: single precision must hold its exponential and the square of it."""
FARTHEST = 5.0
"""Farthest place of a parameter's map at which its spectrum still changes."""


class Links:
    """Maps (..., map, pixel), amplitudes first, to what the mixture takes.

    Parameters
    ----------
    mixture : Mixture

    Attributes
    ----------
    names : tuple of str
        Of the maps: "thermal", "synchrotron", "thermal.kT", ...
    """

    def __init__(self, mixture: Mixture):
        self.names = (*mixture.names, *mixture.parameter_names)
        self.components = len(mixture.names)
        self._lower, self._width = mixture.lower, mixture.upper - mixture.lower

    def __call__(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitudes (..., pixel, component), counts, and parameters (..., pixel, parameter)."""
        log_amplitude, place = self._apart(maps)
        return log_amplitude.exp(), self._lower.to(maps) + self._width.to(maps) * torch.special.ndtr(place)

    def slopes(self, maps: Tensor) -> Tensor:
        """Derivatives of amplitudes and parameters by their maps, (..., pixel, map)."""
        log_amplitude, place = self._apart(maps)
        density = (-0.5 * place.square()).exp() / sqrt(2 * pi)
        return torch.cat([log_amplitude.exp(), self._width.to(maps) * density], -1)

    def _apart(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        by_pixel = maps.transpose(-1, -2)
        log_amplitude, place = by_pixel[..., : self.components], by_pixel[..., self.components :]
        return log_amplitude.clamp(-LARGEST, LARGEST), place.clamp(-FARTHEST, FARTHEST)
