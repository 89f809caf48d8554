r"""The starlet transform of maps: details on a few scales, and what is left when all of them are taken away.

.. math:: c_{j+1} = h^{(j)} * c_j, \qquad w_{j+1} = c_j - c_{j+1}, \qquad c_0 = c_J + \sum_{j=1}^{J} w_j

with h the B3 spline (1, 4, 6, 4, 1)/16 along both axes, its taps 2^j pixels apart ("with holes", à trous), and maps
mirrored at their borders. Isotropic and undecimated, so that a map and its shifted copy have shifted details
(Starck, Murtagh & Bertero 2015, Handbook of Mathematical Methods in Imaging, "Starlet transform in astronomical data
processing"; the first generation, whose inverse is a sum).
"""

from __future__ import annotations

import torch
from torch import Tensor

from probspec.errors import DataError, explain

B3_SPLINE = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
NORMAL_MAD = 0.6744897501960817
"""Median of |x| of a standard normal."""


def starlet(image: Tensor, scales: int) -> Tensor:
    """Take maps apart into details and a coarse remainder.

    Parameters
    ----------
    image : (..., y, x) Tensor
    scales : int
        Number of scales of details, at least 0.

    Returns
    -------
    (scales + 1, ..., y, x) Tensor
        Details from fine to coarse, then the remainder.

    Raises
    ------
    DataError
        If the image has fewer than two dims, none of a size, or whole numbers, or `scales` is negative.

    Examples
    --------
    >>> image = torch.eye(6)
    >>> parts = starlet(image, scales=2)
    >>> parts.shape, torch.allclose(inverse(parts), image)
    (torch.Size([3, 6, 6]), True)
    """
    if image.ndim < 2 or image.numel() == 0 or not image.is_floating_point():
        found = f"{image.dtype} of shape {tuple(image.shape)}"
        raise DataError(explain("image", found, expected="floating numbers of shape (..., y, x)"))
    _check_scales(scales)
    parts = []
    for scale in range(scales):
        smooth = _smoothed(image, 2**scale)
        parts.append(image - smooth)
        image = smooth
    return torch.stack([*parts, image])


def inverse(parts: Tensor) -> Tensor:
    """Put maps together again, (..., y, x), from the parts (scales + 1, ..., y, x) of `starlet`."""
    return parts.sum(0)


def noise_factors(scales: int) -> Tensor:
    """Standard deviation, in each part of the transform, of noise that is white and of unit variance in the map.

    Parameters
    ----------
    scales : int

    Returns
    -------
    (scales + 1,) Tensor
        Far from borders, in double precision; root of the sum of squares of an impulse's response.

    Raises
    ------
    DataError
        If `scales` is negative.

    Examples
    --------
    >>> noise_factors(3)
    tensor([0.8908, 0.2007, 0.0855, 0.0604], dtype=torch.float64)
    """
    _check_scales(scales)
    reach = 2 * (2**scales - 1)  # of all kernels, one after the other
    impulse = torch.zeros(4 * reach + 1, 4 * reach + 1, dtype=torch.float64)  # so large that no border mirrors it
    impulse[2 * reach, 2 * reach] = 1
    return starlet(impulse, scales).square().sum((-2, -1)).sqrt()


def robust_sigma(details: Tensor) -> Tensor:
    """Standard deviation of the normal noise in maps of details, from the median absolute deviation.

    A few large details, which are signal, hardly change it (Donoho & Johnstone, Biometrika 81 (1994) 425).

    Parameters
    ----------
    details : (..., y, x) Tensor

    Returns
    -------
    (...) Tensor

    Examples
    --------
    >>> noise = torch.randn(100, 100, generator=torch.Generator().manual_seed(0))
    >>> noise[:5] += 1000
    >>> abs(float(robust_sigma(3 * noise)) / 3 - 1) < 0.1
    True
    """
    values = details.flatten(-2)
    middle = values.quantile(0.5, -1, keepdim=True)
    return (values - middle).abs().quantile(0.5, -1) / NORMAL_MAD


def _smoothed(image: Tensor, step: int) -> Tensor:
    return _along(_along(image, step, -1), step, -2)


def _along(image: Tensor, step: int, dim: int) -> Tensor:
    size = image.shape[dim]
    place = torch.arange(size, device=image.device)
    taps = ((tap - 2, weight) for tap, weight in enumerate(B3_SPLINE))
    parts = (weight * image.index_select(dim, _mirrored(place + shift * step, size)) for shift, weight in taps)
    return sum(parts, start=image.new_zeros(()))


def _mirrored(place: Tensor, size: int) -> Tensor:
    """Places within 0 ... size - 1, mirrored at the first and the last pixel as often as needed."""
    period = max(2 * (size - 1), 1)
    folded = place.remainder(period)
    return torch.minimum(folded, period - folded)


def _check_scales(scales: int) -> None:
    if scales < 0:
        raise DataError(explain("scales", str(scales), expected="0 or more"))
