"""A secondary read as the primary's scores, with an error that was measured on rows held out.

The reading keeps its training rows and what its maps said of them out of fold; all else is closed form and is made
anew from these when a saved reading is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probspec.seeding import child_seed
from probspec.transfer.alignment import Alignment
from probspec.transfer.basis import Basis, has_lines, is_light
from probspec.transfer.folds import left_out
from probspec.transfer.maps import PLACES, Name, Pairs, readings
from probspec.transfer.regressions import distances, median_distance
from probspec.transfer.stacking import Evidence, choose, neighbours, rules
from probspec.transfer.views import Principal

Array = NDArray[np.float64]

WIDTH = 0.25  # of the neighbourhood in which errors are alike
PRIOR_ROWS = 3.0  # rows' worth of belief that errors are everywhere the same
LEAST = 1e-9  # of the primary's spread, below which an error is taken for rounding


@dataclass(frozen=True)
class Reading:
    """Maps from one secondary to the primary's scores, combined, and their error.

    Parameters
    ----------
    basis : Basis
        Of the primary.
    secondary, primary : (sample, channel) array
        Training pairs.
    held_out : (map, sample, latent) array
        What each map said of rows that it had not seen.
    maps : tuple of names
    rule : str
        How maps are combined.
    errors : (sample, latent) array
        Of the combination, out of fold.
    left : (channel,) array
        Variance of the primary's channels that no latent explains.
    sizes : (sample,) array
        How large the error of each training row is, one on average.
    groups : (sample,) array of whole numbers
        Rows of one number are repeats of one sample.
    library : (spectrum, channel) array
        Of the primary, of other samples.
    """

    basis: Basis
    secondary: Array
    primary: Array
    held_out: Array
    maps: tuple[Name, ...]
    rule: str
    errors: Array
    left: Array
    sizes: Array
    groups: Array
    library: Array

    @classmethod
    def fit(
        cls,
        secondary: Array,
        primary: Array,
        basis: Basis,
        seed: int = 0,
        groups: NDArray[Any] | None = None,
        library: Array | None = None,
    ) -> Reading:
        """Learn from paired spectra.

        Parameters
        ----------
        secondary, primary : (sample, channel) array
        basis : Basis
        seed : int
        groups : (sample,) array, optional
            Repeats of one sample, held out together; every row by itself where left out.
        library : (spectrum, channel) array, optional
            Of the primary, of other samples.
        """
        library = primary[:0] if library is None else library
        groups = np.arange(len(primary)) if groups is None else np.unique(groups, return_inverse=True)[1]
        groups = groups.astype(np.float64)
        pairs = Pairs(secondary, primary, secondary[:1], basis, library, _aligned(secondary, primary))
        held_out, maps = _held_out(pairs, groups, child_seed(seed, 0))
        truth = basis.scores(primary)
        near = _near(secondary, secondary, Principal.of(secondary))
        allowed = rules(families_of(maps), len(np.unique(groups)))
        evidence = Evidence(held_out, truth, held_out, near)
        rule, said = choose(evidence, allowed, near, groups, child_seed(seed, 1))
        errors = said - truth
        beyond = _beyond(primary, basis, len(primary) + len(library))
        left = (beyond**2).mean(0)
        size = (errors**2).sum(1) + (beyond**2).sum(1)
        floor = LEAST * max(float((truth**2).sum(1).mean()), 1e-300)
        sizes = (size + floor) / (size.mean() + floor)
        return cls(basis, secondary, primary, held_out, maps, rule, errors, left, sizes, groups, library)

    @cached_property
    def principal(self) -> Principal:
        """Principal directions of the training rows of the secondary."""
        return Principal.of(self.secondary)

    @cached_property
    def alignment(self) -> Alignment | None:
        """Where the secondary's channels lie among the primary's."""
        return _aligned(self.secondary, self.primary)

    def scores(self, new: Array) -> Array:
        """Most probable scores of the primary : (new row, latent)."""
        pairs = Pairs(self.secondary, self.primary, new, self.basis, self.library, self.alignment)
        said = readings(pairs)
        told = np.stack([said[name] for name in self.maps])
        near = _near(new, self.secondary, self.principal)
        evidence = Evidence(self.held_out, self.basis.scores(self.primary), told, near)
        return rules(families_of(self.maps), len(np.unique(self.groups)))[self.rule](evidence)

    def transferred(self, new: Array) -> Array:
        """Most probable spectra of the primary : (new row, channel)."""
        return self.basis.spectra(self.scores(new))

    def band(self, new: Array, prob: float) -> tuple[Array, Array]:
        """Ends between which a channel of the primary lies with probability `prob` : (new row, channel) each."""
        mean = self.transferred(new)
        half = self.factor(prob) * self.widening(new)[:, None] * self.spread()
        return mean - half, mean + half

    def widening(self, new: Array, own: bool = False) -> Array:
        """How many times the usual error is to be expected, from the neighbours : (new row,).

        Parameters
        ----------
        new : (new row, channel) array
        own : bool
            Whether the rows are the training rows themselves, which then say nothing of their own sample's error.
        """
        weights = neighbours(_near(new, self.secondary, self.principal), WIDTH)
        if own:
            weights[self.groups[:, None] == self.groups] = 0.0
        level = (weights @ self.sizes + PRIOR_ROWS) / (weights.sum(1) + PRIOR_ROWS)
        return np.sqrt(level)

    def covariance(self) -> Array:
        """Of the errors in the scores, where they are of usual size : (latent, latent)."""
        widths = self.widening(self.secondary, own=True)
        scaled = self.errors / widths[:, None]
        return scaled.T @ scaled / len(scaled)

    def spread(self) -> Array:
        """Standard deviation of the error in each channel of the primary, where errors are of usual size."""
        directions = self.basis.directions
        return np.sqrt(np.einsum("kc,kl,lc->c", directions, self.covariance(), directions) + self.left)

    def factor(self, prob: float) -> float:
        """Spreads to either side of the mean within which the share `prob` of left-out channel values lay.

        The spread that a row is measured by is that of the others, as it will be for new rows. Of few rows the share is
        raised as if the new one were among them (conformal prediction: Vovk et al. 2005), the less so the more
        directions their errors have.
        """
        beyond = _beyond(self.primary, self.basis, len(self.primary) + len(self.library))
        errors, width = self.errors @ self.basis.directions, self.widening(self.secondary, own=True)[:, None]
        others = (self.groups[:, None] != self.groups).astype(float)
        spread = np.sqrt(others @ (errors / width) ** 2 / others.sum(1, keepdims=True) + self.left) + 1e-300
        sizes = (errors - beyond) / spread / width
        alike = sizes @ sizes.T
        directions = np.trace(alike) ** 2 / ((alike**2).sum() + 1e-300)
        share = prob * (1 + 1 / (len(np.unique(self.groups)) * max(directions, 1)))
        return float(np.quantile(np.abs(sizes), min(share, 1)))


def _beyond(primary: Array, basis: Basis, rows: int) -> Array:
    """What the directions do not explain, as large as it is for rows that they were not made of."""
    unexplained = primary - basis.spectra(basis.scores(primary))
    return unexplained * np.sqrt(rows / max(rows - len(basis.directions) - 1, 1))


def _held_out(pairs: Pairs, groups: Array, seed: int) -> tuple[Array, tuple[Name, ...]]:
    """What each map says of rows left out, and the maps that can be made of fewer rows too."""
    said: dict[Name, Array] = {}
    for taught, asked in left_out(groups, seed):
        fewer = replace(
            pairs, secondary=pairs.secondary[taught], primary=pairs.primary[taught], new=pairs.secondary[asked]
        )
        for name, scores in readings(fewer).items():
            said.setdefault(name, np.full(pairs.scores.shape, np.nan))[asked] = scores
    maps = tuple(name for name in readings(pairs) if name in said and np.isfinite(said[name]).all())
    return np.stack([said[name] for name in maps]), maps


def _aligned(secondary: Array, primary: Array) -> Alignment | None:
    """Where both count light and see the same lines."""
    if not (has_lines(primary) and is_light(secondary)):
        return None
    return Alignment.find(secondary.mean(0), primary.mean(0))


def families_of(maps: Sequence[Name]) -> list[str]:
    """Family of each map."""
    return [str(name[0]) for name in maps]


def _near(new: Array, training: Array, principal: Principal) -> Array:
    """Squared distances in principal scores, in units of the median one."""
    places = principal.white(training, PLACES)
    return distances(principal.white(new, PLACES), places) / median_distance(places)
