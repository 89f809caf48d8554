"""How the concentrations of generated pairs are chosen; the nuisance of each spectrum then comes from its prior.

Mushchina et al. (2024) blame the harm that their conditional VAE did on this choice, and propose uniform, empirical and
equalising ones. Each is an object here, whose settings can be changed, and all see nothing but the training
concentrations.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from probspec.augmentation.strategy import Array, Sampler, Strategy, TrainingPairs
from probspec.errors import DataError, explain

INDEPENDENT = 1e-4  # least share of an ion's variance that is not told by the others


def _not_negative(name: str, setting: str, value: float) -> None:
    if not np.isfinite(value) or value < 0:
        raise DataError(explain(f"{name}: {setting}", f"got {value!r}", expected="a number, not below 0"))


class ConcentrationStrategy(Strategy):
    """Law of concentrations, made from those of the training set."""

    def sampler(self, pairs: TrainingPairs) -> Sampler:
        """Draw concentrations alone."""
        return lambda n, rng: (self.rows(pairs.concentrations, n, rng), None)

    @abstractmethod
    def rows(self, concentrations: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw concentrations.

        Parameters
        ----------
        concentrations : (sample, ion) array
            Of the training set, in any unit.
        n : int
        rng : Generator

        Returns
        -------
        (n, ion) array, same unit
        """


@dataclass(frozen=True)
class Empirical(ConcentrationStrategy):
    """Concentrations of training rows, as they are.

    >>> Empirical().rows(np.array([[1.0], [2.0]]), 4, np.random.default_rng(0)).shape
    (4, 1)
    """

    name: ClassVar[str] = "empirical"

    def rows(self, concentrations: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw training rows with replacement."""
        return concentrations[rng.integers(len(concentrations), size=n)]


@dataclass(frozen=True)
class Uniform(ConcentrationStrategy):
    """Every ion uniform in its range, independently of the others.

    Parameters
    ----------
    margin : float
        Share of the range that is added at its upper end.

    Raises
    ------
    DataError
        If the margin is negative.
    """

    name: ClassVar[str] = "uniform"
    margin: float = 0.0

    def __post_init__(self) -> None:
        _not_negative(self.name, "margin", self.margin)

    def rows(self, concentrations: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw from the box."""
        low, width = _range(concentrations)
        return low + width * (1 + self.margin) * rng.random((n, concentrations.shape[1]))


@dataclass(frozen=True)
class Loaded(ConcentrationStrategy):
    """Uniform in range where the sum over ions, each as a share of its range, is no larger than has been seen.

    Where training rows lack ions, an ion may be absent here too, so that the faces of the box are covered as well.

    Parameters
    ----------
    slack : float
        Share by which the largest sum may be exceeded.
    absent : float
        How often ions that are absent from training rows are absent here, relative to there.

    Raises
    ------
    DataError
        If a setting is negative.

    Examples
    --------
    >>> salts = np.array([[0.1, 0.0], [0.0, 0.2], [0.05, 0.1]])
    >>> drawn = Loaded(slack=0.0).rows(salts, 100, np.random.default_rng(0))
    >>> bool((drawn / [0.1, 0.2]).sum(1).max() <= 1)
    True
    """

    name: ClassVar[str] = "loaded"
    slack: float = 0.1
    absent: float = 0.5

    def __post_init__(self) -> None:
        _not_negative(self.name, "slack", self.slack)
        _not_negative(self.name, "absent", self.absent)

    def rows(self, concentrations: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw from the box, and scale rows back onto the load where they exceed it."""
        low, width = _range(concentrations)
        limit = ((concentrations - low) / width).sum(1).max() * (1 + self.slack)
        missing = np.minimum(self.absent * (concentrations == 0).mean(0), 1.0)
        shares = rng.random((n, len(width))) * (rng.random((n, len(width))) >= missing)
        load = shares.sum(1, keepdims=True)
        # Of rows beyond the limit the load is drawn anew, with the density that it has inside the box near zero.
        within = limit * rng.random((n, 1)) ** (1 / np.maximum((shares > 0).sum(1, keepdims=True), 1))
        return low + width * np.where(load > limit, shares * within / np.maximum(load, 1e-300), shares)


@dataclass(frozen=True)
class Equalised(ConcentrationStrategy):
    """Training rows, those in sparse regions as often as is needed to fill the range evenly, moved about a little.

    Parameters
    ----------
    width : float
        Of the moves and of the density that is evened out, as a share of the range.
    """

    name: ClassVar[str] = "equalised"
    width: float = 0.15

    def __post_init__(self) -> None:
        _not_negative(self.name, "width", self.width)

    def rows(self, concentrations: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw rows with the inverse of a kernel density as weight."""
        low, width = _range(concentrations)
        points = (concentrations - low) / width
        scale = max(self.width, 1e-6) * np.sqrt(points.shape[1])
        density = np.exp(-0.5 * (cdist(points, points) / scale) ** 2).sum(1)
        chosen = points[rng.choice(len(points), n, p=(1 / density) / (1 / density).sum())]
        moved = chosen + self.width * rng.standard_normal(chosen.shape)
        return low + width * np.clip(moved, 0.0, 1.0)


@dataclass(frozen=True)
class Interpolation(ConcentrationStrategy):
    """Points on the lines between training rows and their neighbours in concentration (Chawla et al. 2002).

    Parameters
    ----------
    neighbours : int
        How many of the nearest rows count; all where there are fewer.
    """

    name: ClassVar[str] = "interpolation"
    neighbours: int = 10

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise DataError(explain("Interpolation(neighbours)", f"{self.neighbours}", expected="one or more"))

    def rows(self, concentrations: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw a row, one of its neighbours, and a point between them."""
        low, width = _range(concentrations)
        points = (concentrations - low) / width
        order = cdist(points, points).argsort(1, kind="stable")[:, 1 : self.neighbours + 1]
        first = rng.integers(len(points), size=n)
        second = order[first, rng.integers(order.shape[1], size=n)]
        share = rng.random((n, 1))
        return share * concentrations[first] + (1 - share) * concentrations[second]


def dependent_ion(concentrations: Array) -> int | None:
    """Find the ion that the others tell most of, if they tell nearly all: its own spectrum cannot be known.

    Parameters
    ----------
    concentrations : (sample, ion) array

    Examples
    --------
    >>> ramp, other = np.linspace(0, 1, 9), np.linspace(-1, 1, 9) ** 2
    >>> dependent_ion(np.column_stack([ramp, other])), dependent_ion(np.column_stack([ramp, other, 2 * ramp])) in (0, 2)
    (None, True)
    """
    centred = concentrations - concentrations.mean(0)
    correlation = (centred.T @ centred) / np.sqrt(np.outer(*[(centred**2).sum(0)] * 2))
    own = 1 / np.diag(np.linalg.inv(correlation + 1e-9 * np.eye(len(correlation))))
    return int(own.argmin()) if own.min() < INDEPENDENT else None


def _range(concentrations: Array) -> tuple[Array, Array]:
    low = concentrations.min(0)
    return low, np.maximum(concentrations.max(0) - low, 1e-300)
