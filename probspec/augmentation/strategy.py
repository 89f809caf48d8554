"""What a strategy is: a law of the concentrations, and of the nuisance, of generated pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sampler = Callable[[int, np.random.Generator], tuple[Array, Array | None]]
"""From a number of pairs to concentrations (pair, ion), and nuisances (pair, direction) or None: those of the prior."""


@dataclass(frozen=True)
class TrainingPairs:
    """What a strategy sees of the training set.

    Parameters
    ----------
    concentrations : (sample, ion) array, any unit
    encode : callable
        From rows (row,) and a seed to one draw each of the posterior of their nuisance, (row, direction).
    """

    concentrations: Array
    encode: Callable[[NDArray[np.int64], int], Array]


@dataclass(frozen=True)
class Strategy(ABC):
    """Law of generated pairs, made from the training set."""

    name: ClassVar[str]

    @abstractmethod
    def sampler(self, pairs: TrainingPairs) -> Sampler:
        """Make what draws concentrations and nuisances."""
