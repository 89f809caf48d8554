"""What a law of maps is: a choice, and what it becomes on a grid."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from probspec.errors import PriorError, explain
from probspec.fields.grid import Grid


class FieldPrior(ABC):
    """A law on a grid, immutable.

    Attributes
    ----------
    grid : Grid
    inverse : (row, column) Tensor
        Inverse power of each coefficient; of the nearest stationary law if this one is not stationary.
    stationary : bool
        Whether `inverse` says all.
    """

    grid: Grid
    inverse: Tensor
    stationary: bool = True

    @abstractmethod
    def log_prob(self, field: Tensor) -> Tensor:
        """Log density, (...), of fields (..., grid y, grid x)."""

    @abstractmethod
    def precision(self, coefficients: Tensor) -> Tensor:
        """Product of the inverse covariance with fields, both held by coefficients (..., row, column)."""

    @abstractmethod
    def noise(self, draws: int, generator: torch.Generator) -> Tensor:
        """Draw coefficients (draw, row, column) whose covariance is the inverse covariance."""

    @abstractmethod
    def learned(self, mean: Tensor, around: Tensor) -> FieldPrior:
        """Return the same law with its quantities learnt from a posterior.

        Parameters
        ----------
        mean : (row, column) Tensor
            Coefficients of a field in the middle of the draws.
        around : (draw, row, column) Tensor
            Of the draws' deviations from it.
        """


class Law(ABC):
    """A choice of law for a map."""

    @abstractmethod
    def on(self, grid: Grid) -> FieldPrior:
        """Put it on a grid, with its quantities as they are before anything is learnt."""


def check_positive(law: Law, *names: str) -> None:
    """Refuse standard deviations that are none.

    Raises
    ------
    PriorError
        It names the law and the argument.
    """
    for name in names:
        if not 0 < getattr(law, name) < float("inf"):
            where = f"{type(law).__name__}({name}={getattr(law, name)})"
            raise PriorError(explain(where, "no standard deviation", expected="a number above 0"))
