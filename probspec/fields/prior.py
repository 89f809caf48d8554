"""What a law of maps is: a choice, and what it becomes on a grid."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

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
    def draw(self, draws: int, generator: torch.Generator) -> Tensor:
        """Draw fields (draw, grid y, grid x).

        Raises
        ------
        PriorError
            If the law cannot be drawn from.
        """

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


class FieldDistribution(TorchDistribution):
    """A law on a grid as a distribution of Pyro, of fields (grid y, grid x).

    Parameters
    ----------
    prior : FieldPrior
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    support = constraints.independent(constraints.real, 2)  # pyright: ignore[reportAssignmentType]

    def __init__(self, prior: FieldPrior):
        self.prior = prior
        super().__init__(torch.Size(), torch.Size(prior.grid.size), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density (...) of fields (..., grid y, grid x)."""
        return self.prior.log_prob(value)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw fields (*sample_shape, grid y, grid x)."""
        shape = torch.Size(sample_shape)
        return self.prior.draw(shape.numel(), torch.default_generator).reshape(*shape, *self.prior.grid.size)


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
