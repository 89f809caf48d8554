r"""The periodic grid on which maps live, wider than the map so that its opposite borders do not meet.

A field on the grid is held by the coefficients of its Fourier transform. These are scaled so that the transform keeps
lengths: the squares of the real and imaginary parts of all coefficients sum to the squares of all pixels. White noise
then has the same law on either side, and a stationary covariance is one number by coefficient.
"""

from __future__ import annotations

from math import ceil

import torch
from scipy.fft import next_fast_len
from torch import Tensor

PADDED = 1.35
"""Length of the grid beside that of the map: 128 for 94."""


class Grid:
    """A periodic grid around a map.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the map, along y and x.
    size : (int, int), optional
        Pixels of the grid, at least those of the map; even along x. A third more than the map by default.
    device : torch.device

    Attributes
    ----------
    frequency : (row, column) Tensor, cycles per pixel
        Of each coefficient; only those of one half of the plane are held.
    root : (column,) Tensor
        Factor between the coefficients and those of torch.
    held : (row, column) Tensor
        Mean squared modulus of each coefficient of white noise: 2 where it stands for its mirror image as well.

    Examples
    --------
    >>> grid = Grid((94, 94))
    >>> grid.size, tuple(grid.frequency.shape)
    ((128, 128), (128, 65))
    >>> field = torch.randn(128, 128, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(grid.field(grid.coefficients(field)), field, atol=1e-5)
    True
    """

    def __init__(self, shape: tuple[int, int], size: tuple[int, int] | None = None, device: torch.device | str = "cpu"):
        self.shape = shape
        self.size = size or (_fast(shape[0]), _fast(shape[1]))
        rows, columns = self.size
        self.frequency = torch.hypot(
            torch.fft.fftfreq(rows, dtype=torch.float64)[:, None], torch.fft.rfftfreq(columns, dtype=torch.float64)
        ).to(device)
        held = torch.full((columns // 2 + 1,), 2.0)  # a coefficient stands for its mirror image too ...
        held[0] = held[-1] = 1.0  # ... but in these columns the mirror image is held as well
        self.root = held.sqrt().to(device)
        self.held = held.double().expand(self.frequency.shape).to(device)

    def coefficients(self, field: Tensor) -> Tensor:
        """Transform fields (..., grid y, grid x) to coefficients (..., row, column)."""
        return torch.fft.rfft2(field, norm="ortho") * self.root.to(field)

    def field(self, coefficients: Tensor) -> Tensor:
        """Transform coefficients back to fields (..., grid y, grid x)."""
        return torch.fft.irfft2(coefficients / self.root.to(coefficients.real), s=self.size, norm="ortho")

    def cut(self, coefficients: Tensor) -> Tensor:
        """Give the maps (..., y, x) of fields that are held by coefficients."""
        return self.field(coefficients)[..., : self.shape[0], : self.shape[1]]

    def spread(self, maps: Tensor) -> Tensor:
        """Give the coefficients of fields that are zero around the maps: the adjoint of `cut`."""
        below, right = self.size[0] - self.shape[0], self.size[1] - self.shape[1]
        return self.coefficients(torch.nn.functional.pad(maps, (0, right, 0, below)))

    def white(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw coefficients (*shape, row, column) of white noise of variance one, single precision."""
        return self.coefficients(torch.randn(*shape, *self.size, generator=generator, device=self.frequency.device))

    @property
    def pixels(self) -> int:
        """Pixels of the grid."""
        return self.size[0] * self.size[1]

    @property
    def filled(self) -> float:
        """Share of the grid that the map fills."""
        return self.shape[0] * self.shape[1] / (self.size[0] * self.size[1])


def squares(coefficients: Tensor) -> Tensor:
    """Squared modulus of coefficients."""
    return coefficients.real.square() + coefficients.imag.square()


def inner(one: Tensor, other: Tensor, dims: int = 3) -> Tensor:
    """Inner product over the last `dims` dims, of fields as of their coefficients."""
    product = torch.view_as_real(one) * torch.view_as_real(other)
    return product.flatten(-dims - 1).sum(-1)


def _fast(length: int) -> int:
    return 2 * next_fast_len(ceil(PADDED * length / 2))
