"""Conjugate gradients with a preconditioner, for several right-hand sides at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from probspec.fields.grid import inner

Linear = Callable[[Tensor], Tensor]


def solve(
    product: Linear, right: Tensor, precondition: Linear, steps: int, tolerance: float, start: Tensor | None = None
) -> Tensor:
    """Solve A x = b for a positive definite A.

    Parameters
    ----------
    product : callable
        Multiplies A with fields (draw, map, row, column).
    right : (draw, map, row, column) Tensor
        Coefficients of the right-hand sides.
    precondition : callable
        Multiplies an approximate inverse of A.
    steps : int
        At most.
    tolerance : float
        At which a residual is small enough, relative to the right-hand side, both in the preconditioner's norm.
    start : (draw, map, row, column) Tensor, optional
        Zero by default.

    Returns
    -------
    (draw, map, row, column) Tensor
    """
    found = torch.zeros_like(right) if start is None else start.clone()
    residual = right.clone() if start is None else right - product(start)
    direction = ahead = precondition(residual)
    size = inner(residual, ahead)
    enough = tolerance**2 * (size if start is None else inner(right, precondition(right)))
    for _ in range(steps):
        pushed = product(direction)
        length = _ratio(size, inner(direction, pushed), size > enough)
        found += length * direction
        residual -= length * pushed
        ahead = precondition(residual)
        last, size = size, inner(residual, ahead)
        if bool((size <= enough).all()):
            break
        direction = ahead + _ratio(size, last, last > enough) * direction
    return found


def _ratio(over: Tensor, under: Tensor, where: Tensor) -> Tensor:
    ratio = torch.where(where & (under > 0), over / under, 0.0)
    return ratio[..., None, None, None]
