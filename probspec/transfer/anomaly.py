"""How strange the spectra of a sample are to the laws that its latent has them follow."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def mean_square(parts: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]]) -> Tensor:
    """Mean square of what is left, in units of the noise, over draws and channels, then instruments : (sample,).

    Parameters
    ----------
    parts : iterable of (spectra, means, noise, there)
        Of each instrument: (sample, channel) measured, (draw, sample, channel) expected, (channel,) standard
        deviations, and (sample,) whether it measured the sample.

    Examples
    --------
    >>> seen, there = torch.zeros(2, 5), torch.tensor([True, False])
    >>> mean_square([(seen, torch.ones(3, 2, 5), torch.full((5,), 0.5), there)])
    tensor([4., 0.])
    """
    sizes = [(((x - mean) / noise).square().mean((0, -1)), there) for x, mean, noise, there in parts]
    total = torch.stack([torch.where(there, size, 0.0) for size, there in sizes]).sum(0)
    return total / torch.stack([there for _, there in sizes]).sum(0).clamp_min(1)
