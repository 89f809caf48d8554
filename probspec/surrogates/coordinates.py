"""Where a parameter lies in its taught range, on an axis that may be bent.

What a parameter does to a spectrum often fades as it grows: a millimetre of steel matters less behind ten others. An
axis bent by b,

    x = log(1 + b u) / log(1 + b),    u = (parameter - lower) / (upper - lower),

gives the lower end more room. No bend is the parameter itself, b = (upper - lower) / lower is exactly its logarithm,
and unlike log(1 + t) none depends on the unit. Which bend an axis has is decided by held-out spectra.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRAIGHT = 1e-6
"""A bend that is none to double precision, and needs no case of its own."""

BENDS = (STRAIGHT, 3.0, 30.0, 300.0)


class Coordinates(nn.Module):
    """From parameters to positions on bent axes, each from 0 to 1.

    Beyond its taught range a parameter counts as the nearest bound: the spectrum stays that of the bound and its
    derivative is zero.

    Parameters
    ----------
    lower, upper : (parameter,) Tensor
        Taught range.
    bends : (parameter,) Tensor
        Above 0; `STRAIGHT` for the parameter itself.

    Examples
    --------
    >>> axes = Coordinates(torch.tensor([1.0]), torch.tensor([100.0]), torch.tensor([99.0]))
    >>> axes(torch.tensor([[1.0], [10.0], [100.0]])).squeeze()  # the logarithm
    tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, lower: Tensor, upper: Tensor, bends: Tensor):
        super().__init__()
        self.register_buffer("lower", lower)
        self.register_buffer("upper", upper)
        self.register_buffer("bends", bends)

    @classmethod
    def build(cls, count: int) -> Coordinates:
        """Make `count` axes without values."""
        return cls(*torch.zeros(3, count, dtype=torch.float64).unbind())

    def forward(self, parameters: Tensor) -> Tensor:
        """Positions, (..., parameter)."""
        return self._place(parameters)[0]

    def with_slope(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and their derivatives by the parameter, each (..., parameter)."""
        place, share = self._place(parameters)
        lower, upper, bends = self._like(parameters)
        slope = bends / ((1 + bends * share) * torch.log1p(bends) * (upper - lower))
        return place, slope * ((parameters >= lower) & (parameters <= upper))

    def _place(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper, bends = self._like(parameters)
        share = ((parameters - lower) / (upper - lower)).clamp(0, 1)
        return torch.log1p(bends * share) / torch.log1p(bends), share

    def _like(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.lower.to(parameters), self.upper.to(parameters), self.bends.to(parameters)


def bends_to_try(lower: float, upper: float) -> tuple[float, ...]:
    """Bends worth a try for an axis of this range: a few of any kind, and the logarithm where there is one."""
    return (*BENDS, (upper - lower) / lower) if lower > 0 else BENDS
