"""Completion of a table whose gaps say something about the class, so that they no longer do.

Whether an oxide was reported depends on the laboratory and on what it expected to find: sodium is missing from nine
of ten olivines. A classifier that sees these gaps learns the habits of laboratories. So each gap of a labelled row is
filled with the value of another row of its class, several times over, and gaps are then made at random, in the same
way for every class.
"""

from __future__ import annotations

import torch
from torch import Tensor

DONORS = 10  # reported values of a class, below which a value is no longer drawn from them
TRACE = 0.03  # wt%: typical amount of what a class is never analysed for


def complete(x: Tensor, codes: Tensor, copies: int, generator: torch.Generator) -> Tensor:
    """Fill gaps with values drawn from rows of the same class.

    Parameters
    ----------
    x : (sample, oxide) Tensor, wt%
        NaN where not reported.
    codes : (sample,) int Tensor
        Classes.
    copies : int
        How many times.
    generator : torch.Generator

    Returns
    -------
    (sample, copy, oxide) Tensor, wt%

    Examples
    --------
    >>> x = torch.tensor([[1.0, float("nan")]] + 10 * [[1.0, 2.0]])
    >>> complete(x, torch.zeros(11, dtype=torch.int64), 1, torch.Generator().manual_seed(0))[0]
    tensor([[1., 2.]])
    """
    filled = x[:, None].repeat(1, copies, 1)
    for code in codes.unique():
        rows = codes == code
        for oxide in range(x.shape[1]):
            column = x[rows, oxide]
            gaps = column.isnan()
            size = (int(gaps.sum()), copies)
            donors = column[~gaps]
            if len(donors) >= DONORS:
                drawn = donors[torch.randint(len(donors), size, generator=generator)]
            else:
                drawn = TRACE * torch.randn(size, generator=generator).abs()
            filled[torch.nonzero(rows)[gaps, 0], :, oxide] = drawn.to(x)
    return filled


def veil(shape: tuple[int, int], device: torch.device) -> Tensor:
    """Say which values to hide, (sample, oxide) bool: none in a third of the rows, else each by a common chance.

    The chance is drawn anew for each row, up to seven in ten; at least two values stay.
    """
    rows = (shape[0], 1)
    chance = MOST_HIDDEN * torch.rand(rows, device=device) * (torch.rand(rows, device=device) < 1 - UNVEILED)
    hidden = torch.rand(shape, device=device) < chance
    return hidden & ((~hidden).sum(-1, keepdim=True) >= LEAST_SEEN)


MOST_HIDDEN = 0.7
UNVEILED = 0.3  # share of rows that stay whole
LEAST_SEEN = 2
